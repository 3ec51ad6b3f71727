"""Every error that a call can end with, as one tree: a class for each reason of the router."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field of the request, and what to put there instead."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Details:
    """The details that came with an error.

    code: the name of the gRPC status. retry_after_s: None where waiting does not help, or nothing
    was said. decision_id: "" where no decision is on record. metadata: of the reason, short words.
    """

    reason: str
    code: str = "UNKNOWN"
    retry_after_s: float | None = None
    metadata: Mapping[str, str] | None = None
    violations: tuple[FieldViolation, ...] = ()

    @property
    def decision_id(self) -> str:
        return (self.metadata or {}).get("decision_id", "")


class RouterError(Exception):
    """Base of the tree, and the error of every reason that this version does not know.

    idempotency_key: the one that was sent, "" for none. The same request with it gives the answer
    that was paid for, if there is one.
    """

    REASON: ClassVar[str] = ""
    UNPAID: ClassVar[bool] = False
    """Nothing was done for the call: it may be sent again even without an idempotency key."""
    PASSES: ClassVar[bool] = False
    """True where the same call may go well later."""
    UNDER_WAY: ClassVar[bool] = False
    """True where the like is under way: it is asked for again until the deadline."""

    def __init__(self, message: str, details: Details) -> None:
        super().__init__(f"{details.reason}: {message}")
        self.message = message
        self.details = details
        self.idempotency_key = ""

    @property
    def reason(self) -> str:
        return self.details.reason

    @property
    def code(self) -> str:
        return self.details.code

    @property
    def retry_after_s(self) -> float | None:
        return self.details.retry_after_s

    @property
    def decision_id(self) -> str:
        return self.details.decision_id

    @property
    def violations(self) -> tuple[FieldViolation, ...]:
        return self.details.violations


# What the caller sent.


class InvalidRequest(RouterError):
    """`violations` names every field at once."""

    REASON = "INVALID_REQUEST"


class PromptTooLong(InvalidRequest):
    REASON = "PROMPT_TOO_LONG"


class Unauthenticated(RouterError):
    REASON = "UNAUTHENTICATED"


class KeyExpired(Unauthenticated):
    REASON = "KEY_EXPIRED"


class DecisionNotFound(RouterError):
    REASON = "DECISION_NOT_FOUND"


class PolicyUnknown(RouterError):
    REASON = "POLICY_UNKNOWN"


class TenantNotFound(RouterError):
    REASON = "TENANT_NOT_FOUND"


class TenantExists(RouterError):
    REASON = "TENANT_EXISTS"


class KeyNotFound(RouterError):
    REASON = "KEY_NOT_FOUND"


class TooManyKeys(RouterError):
    REASON = "TOO_MANY_KEYS"


class FeedbackConflict(RouterError):
    """Another value is recorded: `correction=True` replaces it."""

    REASON = "FEEDBACK_CONFLICT"


class FeedbackTooLate(RouterError):
    REASON = "FEEDBACK_TOO_LATE"


class OutcomeConflict(RouterError):
    """The outcome is settled, or the router made the call itself."""

    REASON = "OUTCOME_CONFLICT"


class IdempotencyConflict(RouterError):
    """The key was used for another request."""

    REASON = "IDEMPOTENCY_CONFLICT"


class NoEligiblePlan(RouterError):
    """The request's own limits rule out every plan."""

    REASON = "NO_ELIGIBLE_PLAN"


class RequestRefused(RouterError):
    """Every deployment that may answer refused this request."""

    REASON = "REQUEST_REFUSED"


class ContextTooLong(RequestRefused):
    REASON = "CONTEXT_TOO_LONG"


class ContentRefused(RequestRefused):
    REASON = "CONTENT_REFUSED"


# What may go well later.


class DeadlineExceeded(RouterError):
    """The time of the call is over."""

    REASON = "DEADLINE_EXCEEDED"


class QuotaExceeded(RouterError):
    """A limit of the tenant; without `retry_after_s` the request alone is above it."""

    REASON = "QUOTA_EXCEEDED"
    UNPAID = True
    PASSES = True


class Overloaded(RouterError):
    REASON = "OVERLOADED"
    UNPAID = True
    PASSES = True


class IdempotencyRunning(RouterError):
    """The first request with this key has not ended."""

    REASON = "IDEMPOTENCY_RUNNING"
    PASSES = True
    UNDER_WAY = True


class DecisionPending(RouterError):
    """The router that made the decision has yet to record it."""

    REASON = "DECISION_PENDING"
    PASSES = True
    UNDER_WAY = True


class ShuttingDown(RouterError):
    REASON = "SHUTTING_DOWN"
    PASSES = True


class StorageUnavailable(RouterError):
    REASON = "STORAGE_UNAVAILABLE"
    PASSES = True


class AllAttemptsFailed(RouterError):
    """No provider could answer."""

    REASON = "ALL_ATTEMPTS_FAILED"
    PASSES = True


class Unavailable(RouterError):
    """The connection broke, or the router's port is closed: the call may have been made."""

    REASON = "UNAVAILABLE"
    PASSES = True


class Unreachable(Unavailable):
    """No connection came about: nothing was sent."""

    REASON = "UNREACHABLE"
    UNPAID = True


# What only the operator can mend.


class AccountFault(RouterError):
    """Every deployment refuses the router itself."""

    REASON = "PROVIDER_ACCOUNT_FAULT"


class InternalError(RouterError):
    """A fault of the router: its log holds the id in the message."""

    REASON = "INTERNAL"


class StreamBroken(RouterError):
    """The stream ended without its last message."""

    REASON = "STREAM_BROKEN"


def tree(base: type[RouterError] = RouterError) -> dict[str, type[RouterError]]:
    """Returns the class of every reason."""
    found = {base.REASON: base}
    for kind in base.__subclasses__():
        found |= tree(kind)
    return found


_BY_REASON = tree()


def error_of(message: str, details: Details) -> RouterError:
    """Returns the error of a reason; RouterError where this version does not know it."""
    return _BY_REASON.get(details.reason, RouterError)(message, details)
