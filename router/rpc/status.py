"""The error tree as gRPC statuses with google.rpc details."""

from __future__ import annotations

import math

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from router.domain import errors as e

DOMAIN = "adaptive-router"

CODES: dict[type[e.RouterError], grpc.StatusCode] = {
    e.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    e.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    e.DecisionNotFound: grpc.StatusCode.NOT_FOUND,
    e.DecisionPending: grpc.StatusCode.UNAVAILABLE,
    e.TenantNotFound: grpc.StatusCode.NOT_FOUND,
    e.PolicyUnknown: grpc.StatusCode.NOT_FOUND,
    e.KeyNotFound: grpc.StatusCode.NOT_FOUND,
    e.TooManyKeys: grpc.StatusCode.FAILED_PRECONDITION,
    e.TenantExists: grpc.StatusCode.ALREADY_EXISTS,
    e.FeedbackConflict: grpc.StatusCode.ALREADY_EXISTS,
    e.OutcomeConflict: grpc.StatusCode.FAILED_PRECONDITION,
    e.FeedbackTooLate: grpc.StatusCode.FAILED_PRECONDITION,
    e.IdempotencyConflict: grpc.StatusCode.ALREADY_EXISTS,
    e.IdempotencyRunning: grpc.StatusCode.ABORTED,
    e.NoEligiblePlan: grpc.StatusCode.FAILED_PRECONDITION,
    e.DeadlineTooShort: grpc.StatusCode.DEADLINE_EXCEEDED,
    e.QuotaExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    e.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    e.ShuttingDown: grpc.StatusCode.UNAVAILABLE,
    e.StorageUnavailable: grpc.StatusCode.UNAVAILABLE,
    e.RequestRefused: grpc.StatusCode.INVALID_ARGUMENT,
    e.AccountFault: grpc.StatusCode.FAILED_PRECONDITION,
    e.ProviderError: grpc.StatusCode.UNAVAILABLE,
    e.AllAttemptsFailed: grpc.StatusCode.UNAVAILABLE,
    e.RouterError: grpc.StatusCode.INTERNAL,
}


def code_of(error: e.RouterError) -> grpc.StatusCode:
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def status_of(error: e.RouterError) -> status_pb2.Status:
    code: int = code_of(error).value[0]
    status = status_pb2.Status(code=code, message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    for detail in (info, *_details(error)):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def internal_status(error_id: str) -> status_pb2.Status:
    """Returns the status of an error outside the tree: only an id that the log holds too."""
    return status_pb2.Status(code=code_pb2.INTERNAL, message=f"internal error {error_id}")


def _details(error: e.RouterError) -> list[Message]:
    details: list[Message] = []
    if isinstance(error, e.InvalidRequest):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
            for v in error.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if isinstance(error, e.QuotaExceeded):
        violation = error_details_pb2.QuotaFailure.Violation(
            subject=error.subject, description=error.message
        )
        details.append(error_details_pb2.QuotaFailure(violations=[violation]))
    if isinstance(error, e.RetryableError) and error.retryable:
        seconds, rest_ms = divmod(math.ceil(error.retry_after_ms), 1_000)
        delay = duration_pb2.Duration(seconds=seconds, nanos=rest_ms * 1_000_000)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return details
