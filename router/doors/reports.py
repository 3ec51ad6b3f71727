"""Checks of what callers report: outcomes of calls that they made, and feedback."""

from __future__ import annotations

from typing import Final

from router.domain.records import FeedbackReport, OutcomeReport, as_made
from router.doors.checks import ID, RequestLimits, Violations

FAILURES: Final = "timeout, rate_limited, unavailable, refused, malformed, cancelled, other"
_NO_CALL: Final = "failure: cancelled where none was made"
MAX_TOKENS: Final = 1e9
DAY_MS: Final = 86_400_000


def check_outcome(decision_id: str, report: OutcomeReport) -> str:
    """Returns the decision's id as it is stored. Raises InvalidRequest."""
    found = Violations()
    _check_id(found, decision_id)
    found.within(report.latency_ms, 0, DAY_MS, "latency_ms")
    found.within(report.input_tokens, 0, MAX_TOKENS, "input_tokens")
    found.within(report.output_tokens, 0, MAX_TOKENS, "output_tokens")
    _check_parts(found, report)
    if report.failure:
        named = report.failure in FAILURES.split(", ")
        found.require(named, "failure", f"leave it empty, or send one of: {FAILURES}")
    else:
        counted = report.input_tokens or report.output_tokens
        told = f"send how long the call took, or {_NO_CALL}"
        found.require(report.latency_ms, "latency_ms", told)
        found.require(counted, "output_tokens", f"send what the provider counted, or {_NO_CALL}")
    found.done()
    return as_made(decision_id)


def _check_parts(found: Violations, report: OutcomeReport) -> None:
    """Parts of a count are within it."""
    unread = max(0, report.input_tokens - report.cached_tokens)
    found.within(report.cached_tokens, 0, report.input_tokens, "cached_input_tokens")
    found.within(report.written_tokens, 0, unread, "cache_write_tokens")
    found.within(report.reasoning_tokens, 0, report.output_tokens, "reasoning_tokens")


def check_feedback(
    decision_id: str, session_id: str, report: FeedbackReport, limits: RequestLimits
) -> str:
    """Returns the decision's id as it is stored, "" for a session. Raises InvalidRequest."""
    found = Violations()
    if not session_id:
        _check_id(found, decision_id)
    elif decision_id:
        found.add("session_id", "send a decision or a session, not both")
    found.short(session_id, limits.name_characters, "session_id")
    found.within(report.quality, 0, 1, "quality")
    if report.quality is None and report.accepted is None:
        found.add("quality", "send quality in [0, 1], accepted, or both")
    found.done()
    return as_made(decision_id)


def checked_id(decision_id: str) -> str:
    """Returns the id of a decision as it is stored. Raises InvalidRequest."""
    found = Violations()
    _check_id(found, decision_id)
    found.done()
    return as_made(decision_id)


def _check_id(found: Violations, decision_id: str) -> None:
    found.require(ID.fullmatch(decision_id), "decision_id", "send the id of a receipt")
