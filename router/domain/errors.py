"""Every error the service knows, as one tree.

A message is written for the caller: it says what to change and never holds prompt text, keys or
the words of a driver's exception. `reason` is the stable code that callers may branch on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from router.domain.chat import Usage

if TYPE_CHECKING:  # brings numpy, for which `--help` need not wait
    from router.domain.records import DecisionRecord


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One mistake in a request: the path of the field and what to put there instead."""

    field: str
    description: str


class RouterError(Exception):
    """Base of the tree. `metadata` travels with the reason; values are short and harmless.

    record: the decision that came to no answer, for the log; it travels nowhere.
    """

    record: DecisionRecord | None = None
    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, metadata: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata or {}


class RetryableError(RouterError):
    """Trying again after `retry_after_ms` may work; not where it is not `retryable`."""

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_ms: int = 1_000,
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message, metadata=metadata)
        self.retry_after_ms = retry_after_ms


# What the caller sent.


class InvalidRequest(RouterError):
    """The request breaks the contract; `violations` names every field at once."""

    reason = "INVALID_REQUEST"

    def __init__(self, *violations: FieldViolation) -> None:
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))
        self.violations = violations


class PromptTooLong(InvalidRequest):
    reason = "PROMPT_TOO_LONG"


class Unauthenticated(RouterError):
    reason = "UNAUTHENTICATED"


class KeyExpired(Unauthenticated):
    """The key was this tenant's, and its time is over."""

    reason = "KEY_EXPIRED"


class DecisionNotFound(RouterError):
    """Unknown, expired or another tenant's (is_foreign): the caller can't tell which."""

    reason = "DECISION_NOT_FOUND"

    def __init__(self, message: str, *, is_foreign: bool = False) -> None:
        super().__init__(message)
        self.is_foreign = is_foreign


class DecisionPending(RetryableError):
    """A decision made a short while ago is not recorded: its router may keep it on disk."""

    reason = "DECISION_PENDING"


class TenantNotFound(RouterError):
    reason = "TENANT_NOT_FOUND"


class PolicyUnknown(RouterError):
    """The config has no policy or challenger of this name."""

    reason = "POLICY_UNKNOWN"


class TenantExists(RouterError):
    reason = "TENANT_EXISTS"


class KeyNotFound(RouterError):
    """The tenant has no key of this id, or several that begin so."""

    reason = "KEY_NOT_FOUND"


class TooManyKeys(RouterError):
    """The tenant has as many keys as one may have."""

    reason = "TOO_MANY_KEYS"


class FeedbackConflict(RouterError):
    """Feedback with another value is already recorded for this decision."""

    reason = "FEEDBACK_CONFLICT"


class OutcomeConflict(RouterError):
    """An outcome is already settled, or the router itself made the call."""

    reason = "OUTCOME_CONFLICT"


class FeedbackTooLate(RouterError):
    reason = "FEEDBACK_TOO_LATE"


def no_decision(what: str, *, is_foreign: bool = False) -> DecisionNotFound:
    """Returns the error of an unknown decision, or of a session that has none."""
    named = "is of this session" if what == "session" else "has this id"
    message = f"no decision of yours {named}: it is wrong or has expired"
    return DecisionNotFound(message, is_foreign=is_foreign)


def conflicting_feedback(what: str) -> FeedbackConflict:
    """Returns the error for feedback on a decision, or a session, with another value."""
    return FeedbackConflict(
        f"feedback with another value is recorded for this {what}: set `correction` to replace it"
    )


def late_feedback(what: str) -> FeedbackTooLate:
    """Returns the error for feedback on a decision, or a session, after its time."""
    return FeedbackTooLate(f"this {what} no longer takes feedback: report sooner")


class IdempotencyConflict(RouterError):
    """The idempotency key was used for another request."""

    reason = "IDEMPOTENCY_CONFLICT"


class IdempotencyRunning(RetryableError):
    """The first request with this idempotency key has not ended yet."""

    reason = "IDEMPOTENCY_RUNNING"


class NoEligiblePlan(RouterError):
    """The request's own limits (pin, cost, latency, tools, context) rule out every plan."""

    reason = "NO_ELIGIBLE_PLAN"


class DeadlineTooShort(RouterError):
    """The caller's deadline passed, or leaves no time for another attempt."""

    reason = "DEADLINE_EXCEEDED"


class QuotaExceeded(RetryableError):
    """A limit of the tenant. quota: requests_per_minute | tokens_per_minute | daily_usd | ...

    retry_after_ms: None where the request alone is above the limit, so that no waiting helps.
    """

    reason = "QUOTA_EXCEEDED"

    def __init__(
        self,
        message: str,
        *,
        quota: str,
        subject: str,
        retry_after_ms: int | None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(
            message,
            retry_after_ms=retry_after_ms or 0,
            metadata={"quota": quota, **(metadata or {})},
        )
        self.quota = quota
        self.subject = subject
        self.retryable = retry_after_ms is not None


# What the service lacks.


class Overloaded(RetryableError):
    """A bounded queue is full."""

    reason = "OVERLOADED"


class ShuttingDown(RetryableError):
    """The replica is stopping, and the time that calls under way had is over."""

    reason = "SHUTTING_DOWN"


class StorageUnavailable(RetryableError):
    reason = "STORAGE_UNAVAILABLE"

    @property
    def is_refused(self) -> bool:
        """True where the store answers, and refuses this one command: a key is damaged."""
        return self.metadata.get("kind") == "refused"


class StorageCorrupt(RouterError):
    """A stored value can't be read back: it is damaged or of another version."""

    reason = "STORAGE_CORRUPT"


class ModelUnavailable(RouterError):
    """The embedding model's files could not be had from any source."""

    reason = "MODEL_UNAVAILABLE"


class ModelCorrupt(RouterError):
    """A model file does not have the pinned size or checksum, or does not load."""

    reason = "MODEL_CORRUPT"


class SnapshotRefused(RouterError):
    reason = "SNAPSHOT_REFUSED"


class ServerMissing(RouterError):
    """No redis-server of the needed version could be started."""

    reason = "SERVER_MISSING"


class StoreTaken(RouterError):
    """The private store is in use by the router of another config."""

    reason = "STORE_TAKEN"


class StoreUnwritable(RouterError):
    """The directory of the private store can't be made or written."""

    reason = "STORE_UNWRITABLE"


class StoreMissing(RouterError):
    """There is nothing to read: the private store has never been begun."""

    reason = "STORE_MISSING"


class PortTaken(RouterError):
    """The configured address can't be listened on."""

    reason = "PORT_TAKEN"


class VerifierFailed(RouterError):
    """No score was had of an answer: the verifier was away, too slow, or said something else."""

    reason = "VERIFIER_FAILED"


class VerifierMalformed(VerifierFailed):
    """It answered, but no quality in [0, 1]."""


class VerifierOff(RouterError):
    """It failed or abstained too often and is left alone for a while."""

    reason = "VERIFIER_OFF"


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One mistake in a config file; `line` counts from 1, `key` is a dotted path.

    line 0, key "": of the whole file, of no key.
    """

    file: str
    line: int
    key: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.key, self.fix) if part)


class ConfigInvalid(RouterError):
    reason = "CONFIG_INVALID"

    def __init__(self, *problems: ConfigProblem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


# What an upstream did. `blames_deployment`: counts against the deployment's health.


class Fault(StrEnum):
    """Who has to change something before the same call can go well."""

    PASSING = "passing"
    """Nobody: it may go well later."""
    ACCOUNT = "account"
    """The operator: key, credit, model name or URL of the deployment."""
    REQUEST = "request"
    """The caller: this deployment can't serve this request."""


class ProviderError(RouterError):
    """An attempt failed.

    status: of the HTTP answer, None where there was none. code: the provider's own code, or where
    the way to it ended, and parameter: the field of the request that it names; harmless words, ""
    for none.

    retry_after_ms: how long the provider is to be left alone, None where it is not known.

    hurried: a limit ended the call that was shorter than any of the deployment's own.

    usage: what the attempt cost where that is known better than by a guess at its most.
    """

    reason = "PROVIDER_ERROR"
    blames_deployment: ClassVar[bool] = True
    fault: ClassVar[Fault] = Fault.PASSING

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        parameter: str = "",
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.parameter = parameter
        self.retry_after_ms = retry_after_ms
        self.hurried = False
        self.usage: Usage | None = None


class ProviderUnavailable(ProviderError):
    """Could not connect (nothing was sent), 5xx, or told to be overloaded.

    unreached: no connection came about; the code says where the way ended.
    """

    reason = "PROVIDER_UNAVAILABLE"
    unreached: bool = False


class ProviderTimeout(ProviderError):
    """The request was sent; no answer, or no whole one, came in time: it may be charged."""

    reason = "PROVIDER_TIMEOUT"


class ProviderDisconnected(ProviderError):
    """The request was sent, and the connection broke before any answer: it may be charged."""

    reason = "PROVIDER_DISCONNECTED"


class ConnectionsExhausted(ProviderError):
    """All of our own connections were busy for the whole of the time limit: nothing was sent."""

    reason = "CONNECTIONS_EXHAUSTED"
    blames_deployment = False


class ProviderRateLimited(ProviderError):
    """429 (or 503 with Retry-After); `retry_after_ms` when the upstream said so."""

    reason = "PROVIDER_RATE_LIMITED"


class ProviderUnauthorized(ProviderError):
    """401 or 403, or told so: the configured key is wrong, or may not do this."""

    reason = "PROVIDER_UNAUTHORIZED"
    fault = Fault.ACCOUNT


class ProviderOutOfCredit(ProviderError):
    """402, or told so: the account has no credit or quota, which no waiting brings back."""

    reason = "PROVIDER_OUT_OF_CREDIT"
    fault = Fault.ACCOUNT


class ProviderNotFound(ProviderError):
    """404, or told so: the provider does not know the deployment's model, or its URL is wrong."""

    reason = "PROVIDER_NOT_FOUND"
    fault = Fault.ACCOUNT


class ProviderMalformed(ProviderError):
    """The answer does not follow the protocol, is too large or broke off: it may be charged."""

    reason = "PROVIDER_MALFORMED"


class ProviderRefusedRequest(ProviderError):
    """400 or 422: this deployment can't serve this request; others may."""

    reason = "PROVIDER_REFUSED_REQUEST"
    blames_deployment = False
    fault = Fault.REQUEST
    unsupported: bool = False
    """The field `parameter`, or the value it has, is not known or not permitted there."""
    lasting: bool = True
    """Refused whatever the value, and beside whatever other field."""
    instead: str = ""
    """The field that the provider wants in its place, "" where it names none."""


class ProviderContextTooLong(ProviderError):
    """413, or told so: the request is too long for this deployment; a larger one may serve it."""

    reason = "PROVIDER_CONTEXT_TOO_LONG"
    blames_deployment = False
    fault = Fault.REQUEST


class ProviderContentRefused(ProviderError):
    """The provider's filter flagged the request; another provider may serve it."""

    reason = "PROVIDER_CONTENT_REFUSED"
    blames_deployment = False
    fault = Fault.REQUEST


REQUEST_FAULTS = frozenset(
    error.reason.lower() for error in ProviderError.__subclasses__() if error.fault is Fault.REQUEST
)
"""An attempt's `why` where the caller's request was at fault: it says nothing of the arm."""


# What remains for the caller when no attempt came to an answer.


class RequestRefused(RouterError):
    """Every deployment that may answer refused this request; the same one is refused again.

    The metadata holds the decision id, and the provider's code and parameter where it named them.
    """

    reason = "REQUEST_REFUSED"


class ContextTooLong(RequestRefused):
    """It is longer than the context of each of them."""

    reason = "CONTEXT_TOO_LONG"


class ContentRefused(RequestRefused):
    """Their filters flagged what it says."""

    reason = "CONTENT_REFUSED"


class AccountFault(RouterError):
    """Every deployment that may answer refuses the router itself: its key, credit, model or URL.

    The metadata holds the decision id, an attempt's `why`, and the provider's code.
    """

    reason = "PROVIDER_ACCOUNT_FAULT"


class AllAttemptsFailed(RetryableError):
    """Every deployment of every permitted arm failed; the decision id is in the metadata."""

    reason = "ALL_ATTEMPTS_FAILED"
