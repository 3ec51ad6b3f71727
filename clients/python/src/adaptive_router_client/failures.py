"""Reads errors of calls: the router's, and those of a caller's own call of a model."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import grpc

from adaptive_router_client.errors import Details, FieldViolation, RouterError, error_of
from adaptive_router_client.stubs import details_pb2

Failure = Literal[
    "timeout", "rate_limited", "unavailable", "refused", "malformed", "cancelled", "other"
]
STATUS_KEY = "grpc-status-details-bin"
UNSENT = ("failed to connect to all addresses", "DNS resolution failed", "errors resolving ")
"""How gRPC words that no connection came about. Worded otherwise, a call counts as made."""
BROKEN = {"NetworkError", "ProtocolError", "RemoteProtocolError", "URLError"}
"""Errors of connections that do not say so in their names."""
NANOS_PER_S = 1_000_000_000
_BY_STATUS: dict[int, Failure] = {408: "timeout", 429: "rate_limited", 504: "timeout"}
_STOPPED = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)


def router_error(error: grpc.RpcError) -> RouterError:
    """Returns the error of the tree for an error of gRPC."""
    call: Any = error
    code, message = call.code().name, call.details() or ""
    # Not as a mapping: the metadata of older versions of grpc.aio is none, though it has its names.
    trailing = call.trailing_metadata() or ()
    packed = next((value for name, value in trailing if name == STATUS_KEY), None)
    if packed is None:
        return error_of(message, Details(_plain_reason(code, message), code))
    return error_of(message, _details(code, details_pb2.Status.FromString(packed)))


def _plain_reason(code: str, message: str) -> str:
    unsent = code == "UNAVAILABLE" and message.startswith(UNSENT)
    return "UNREACHABLE" if unsent else code


def _details(code: str, status: details_pb2.Status) -> Details:
    info, bad = details_pb2.ErrorInfo(reason=code), details_pb2.BadRequest()
    wait_s = None
    for packed in status.details:
        kind = packed.type_url.rpartition(".")[2]
        if kind == "ErrorInfo":
            info.ParseFromString(packed.value)
        elif kind == "BadRequest":
            bad.ParseFromString(packed.value)
        elif kind == "RetryInfo":
            delay = details_pb2.RetryInfo.FromString(packed.value).retry_delay
            wait_s = delay.seconds + delay.nanos / NANOS_PER_S
    violations = tuple(FieldViolation(v.field, v.description) for v in bad.field_violations)
    return Details(info.reason, code, wait_s, dict(info.metadata), violations)


def failure_of(error: BaseException) -> Failure:
    """Returns the kind of failure that an exception of a model's client is.

    The clients of the providers and of HTTP are known by what they have in common: a status, and
    the words Timeout and Connection in the names of their errors. What the caller's own code
    raises is `other`.
    """
    if isinstance(error, _STOPPED):
        return "cancelled"
    if (status := _status(error)) is not None:
        return _of_status(status)
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return "malformed"
    names = [kind.__name__ for kind in type(error).__mro__]
    if any("Timeout" in name for name in names):
        return "timeout"
    if any("Connect" in name or name in BROKEN for name in names):
        return "unavailable"
    return "other"


def _status(error: BaseException) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            found = getattr(holder, name, None)
            if isinstance(found, int) and 400 <= found < 600:  # noqa: PLR2004 - HTTP's errors
                return found
    return None


def _of_status(status: int) -> Failure:
    return _BY_STATUS.get(status, "refused" if status < 500 else "unavailable")  # noqa: PLR2004 - the same
