"""What the `judging` section may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, HttpUrl

from router.config.section import Section

Share = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[int, Field(ge=1, le=600_000, strict=True)]
Few = Annotated[int, Field(ge=1, le=1_000, strict=True)]


class VerifierSection(Section):
    """A program that scores answers: POST {messages, answer, arm, ...}, {"quality": 0..1} back.

    accept_at: the least quality that is served without the arm above. max_failures: of twice as
    many calls in a row; then it is left alone for cooldown_ms. tenants: empty for all.
    """

    url: HttpUrl
    timeout_ms: Milliseconds = 2_000
    accept_at: Share = 0.5
    max_failures: Few = 5
    cooldown_ms: Milliseconds = 30_000
    tenants: Annotated[tuple[str, ...], Field(max_length=1_000)] = ()


class JudgingSection(Section):
    """second_timeout_ms: the most a second opinion is waited for.

    audit_share: of accepted first answers that are checked off the caller's path, by the arm
    `judge` as a judge, or, unset, by comparing them with the answer of the plan's arm above.
    """

    second_timeout_ms: Milliseconds = 10_000
    verifier: VerifierSection | None = None
    audit_share: Share = 0.02
    audit_usd_per_day: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    judge: str = ""
