"""google.rpc details out of a caught error."""

from __future__ import annotations

from typing import TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

T = TypeVar("T", bound=Message)


def detail(error: grpc.aio.AioRpcError, kind: T) -> T:
    """The detail of this kind. Raises AssertionError when there is none."""
    status = rpc_status.from_call(error)
    for packed in status.details if status else ():
        if packed.Is(kind.DESCRIPTOR):
            packed.Unpack(kind)
            return kind
    raise AssertionError(f"no {kind.DESCRIPTOR.name} in the details")


def reason(error: grpc.aio.AioRpcError) -> str:
    """Return the reason in the error's ErrorInfo."""
    return detail(error, error_details_pb2.ErrorInfo()).reason


def fields(error: grpc.aio.AioRpcError) -> set[str]:
    """That its BadRequest names."""
    return {v.field for v in detail(error, error_details_pb2.BadRequest()).field_violations}
