"""Findings of a doctor: what was looked at, how it stands, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from router.domain.errors import RouterError


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


EXIT_CODES: Final = {State.OK: 0, State.WARN: 1, State.FAIL: 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    check: its stable name. text: one sentence. fix: what to do, "" where all is well. facts:
    numbers behind it, for programs.
    """

    check: str
    state: State
    text: str
    fix: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        told = {"check": self.check, "state": self.state, "text": self.text}
        return {**told, "fix": self.fix or None, "facts": dict(self.facts)}


def ok(check: str, text: str, **facts: Any) -> Finding:
    return Finding(check, State.OK, text, facts=facts)


def warn(check: str, text: str, fix: str, **facts: Any) -> Finding:
    return Finding(check, State.WARN, text, fix, facts)


def fail(check: str, text: str, fix: str, **facts: Any) -> Finding:
    return Finding(check, State.FAIL, text, fix, facts)


def of_error(check: str, error: RouterError) -> Finding:
    """Take sentence and fix out of an error's message, which says what to change.

    >>> of_error("store", RouterError("it is away: try again")).fix
    'try again'
    """
    text, _, fix = error.message.partition(": ")
    return fail(check, text, fix or "see the log of the routers")


def worst(findings: Sequence[Finding]) -> State:
    states = {finding.state for finding in findings}
    return next((s for s in (State.FAIL, State.WARN) if s in states), State.OK)


def lasting(seconds: float) -> str:
    """Return a time as one would say it.

    >>> lasting(0.2), lasting(95), lasting(7_200), lasting(400_000)
    ('0.2 s', '95 s', '120 min', '4.6 days')
    """
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"{seconds:.3g} s"
    if seconds < 3 * 3_600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"  # noqa: PLR2004 - two days
