"""The error tree as HTTP statuses, and the headers that tell clients when to come again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

from router.domain import errors as e

Header: TypeAlias = tuple[bytes, bytes]
MS_A_SECOND: Final = 1_000
OWN_FAULT: Final = 500
LEFT: Final = 499
"""The status, in logs and traces, of a request whose caller left; no standard has one."""


class UnsentBody(e.DeadlineTooShort):
    """The body did not come in time."""


class BodyTooLarge(e.InvalidRequest):
    """It has more bytes than a request may have."""


class HeadersTooLarge(e.InvalidRequest):
    """The request's head has more bytes than one may have."""


class Malformed(e.InvalidRequest):
    """It is no request of HTTP/1.1."""


class WrongVersion(e.InvalidRequest):
    """It is a request of another version of HTTP."""


class WrongContentType(e.InvalidRequest):
    """The body is not declared as JSON."""


class UnknownPath(e.InvalidRequest):
    """Nothing is served under this path."""


class UnknownMethod(e.InvalidRequest):
    """The path is served, with these methods."""

    def __init__(self, methods: tuple[str, ...]) -> None:
        super().__init__(e.FieldViolation("method", f"send {' or '.join(methods)}"))
        self.methods = methods


class UnknownModel(e.InvalidRequest):
    """`model` names no arm and no plan."""


STATUSES: Final[dict[type[e.RouterError], int]] = {
    UnsentBody: 408,
    BodyTooLarge: 413,
    HeadersTooLarge: 431,
    WrongContentType: 415,
    WrongVersion: 505,
    UnknownPath: 404,
    UnknownMethod: 405,
    UnknownModel: 404,
    e.InvalidRequest: 400,
    e.Unauthenticated: 401,
    e.DecisionNotFound: 404,
    e.DecisionPending: 503,
    e.TenantNotFound: 404,
    e.PolicyUnknown: 404,
    e.KeyNotFound: 404,
    e.TooManyKeys: 409,
    e.TenantExists: 409,
    e.FeedbackConflict: 409,
    e.OutcomeConflict: 409,
    e.FeedbackTooLate: 410,
    e.IdempotencyConflict: 422,
    e.IdempotencyRunning: 409,
    e.NoEligiblePlan: 422,
    e.DeadlineTooShort: 504,
    e.QuotaExceeded: 429,
    e.Overloaded: 503,
    e.ShuttingDown: 503,
    e.StorageUnavailable: 503,
    e.RequestRefused: 400,
    e.AccountFault: 502,
    e.ProviderError: 502,
    e.AllAttemptsFailed: 502,
    e.RouterError: OWN_FAULT,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is told in any dialect. field: of the first violation, or a provider's.

    retry_after_ms: None where trying again is of no use. allowed: methods, if that is the error.
    """

    status: int
    reason: str
    message: str
    field: str = ""
    decision_id: str = ""
    retry_after_ms: int | None = None
    allowed: tuple[str, ...] = ()
    kind: type[e.RouterError] = e.RouterError

    @property
    def headers(self) -> list[Header]:
        """The official clients obey `x-should-retry`, whatever the status."""
        again = self.retry_after_ms
        told = [
            (b"x-router-reason", self.reason.encode()),
            (b"x-should-retry", b"false" if again is None else b"true"),
        ]
        if self.decision_id:
            told.append((b"x-router-decision-id", self.decision_id.encode()))
        if again is not None:
            told.append((b"retry-after", b"%d" % max(1, math.ceil(again / MS_A_SECOND))))
            told.append((b"retry-after-ms", b"%d" % math.ceil(again)))
        if self.allowed:
            told.append((b"allow", ", ".join(self.allowed).encode()))
        return told


def status_of(kind: type[e.RouterError]) -> int:
    return next(STATUSES[base] for base in kind.__mro__ if base in STATUSES)


def problem_of(error: e.RouterError) -> Problem:
    retryable = isinstance(error, e.RetryableError) and error.retryable
    violations = error.violations if isinstance(error, e.InvalidRequest) else ()
    named = violations[0].field if violations else error.metadata.get("provider_parameter", "")
    return Problem(
        status=status_of(type(error)),
        reason=error.reason,
        message=error.message,
        field=named,
        decision_id=error.metadata.get("decision_id", ""),
        retry_after_ms=error.retry_after_ms if retryable else None,  # type: ignore[attr-defined]
        allowed=error.methods if isinstance(error, UnknownMethod) else (),
        kind=type(error),
    )


def internal_problem(error_id: str) -> Problem:
    """Returns an error outside the tree: only an id that the log holds too."""
    return Problem(OWN_FAULT, e.RouterError.reason, f"internal error {error_id}")
