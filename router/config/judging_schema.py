"""What the `judging` section may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, HttpUrl

from router.config.section import Section

Share = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[int, Field(ge=1, le=600_000, strict=True)]
Few = Annotated[int, Field(ge=1, le=1_000, strict=True)]


class VerifierSection(Section):
    """A program that scores answers: POST {messages, answer, arm, ...}, {"quality": 0..1} back."""

    url: HttpUrl
    """Where answers are posted to."""
    timeout_ms: Milliseconds = 2_000
    """Longest wait for a score."""
    accept_at: Share = 0.5
    """Least quality that is served without asking the arm above."""
    max_failures: Few = 5
    """Failures or abstentions, of twice as many calls, after which it is left alone."""
    cooldown_ms: Milliseconds = 30_000
    """How long it is left alone."""
    tenants: Annotated[tuple[str, ...], Field(max_length=1_000)] = ()
    """Tenants whose answers are posted; empty for all."""


class JudgingSection(Section):
    """What the gates of plans may ask besides the first answer, and what audits may cost."""

    second_timeout_ms: Milliseconds = 10_000
    """Longest wait for a second opinion."""
    verifier: VerifierSection | None = None
    """A verifier of yours; unset: none."""
    audit_share: Share = 0.02
    """Share of accepted first answers that are checked off the caller's path."""
    audit_usd_per_day: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    """Bound on what all audits cost together."""
    judge: str = ""
    """Arm that grades audited answers; unset: the arm above answers and is compared."""
