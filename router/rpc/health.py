"""The standard health service, whose changes wait for nobody who watches."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

Context = grpc.aio.ServicerContext[HealthCheckRequest, HealthCheckResponse]


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # untyped
    """What every name's status is, for whoever asks or watches.

    The library's servicer writes to a watcher under the lock that a change takes: one who reads
    nothing would hold up every later change, and the server's stop.
    """

    def __init__(self) -> None:
        self._statuses: dict[str, HealthCheckResponse.ServingStatus] = {
            "": HealthCheckResponse.SERVING
        }
        self._changed = asyncio.Event()
        self._draining = False

    def set(self, name: str, status: HealthCheckResponse.ServingStatus) -> None:
        if not self._draining:
            self._statuses[name] = status
            self._wake()

    def drain(self) -> None:
        """NOT_SERVING whatever is set later."""
        self._draining = True
        self._statuses = dict.fromkeys(self._statuses, HealthCheckResponse.NOT_SERVING)
        self._wake()

    async def Check(  # noqa: N802 - the contract's name
        self, request: HealthCheckRequest, context: Context
    ) -> HealthCheckResponse:
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 - the contract's name
        self, request: HealthCheckRequest, context: Context
    ) -> NoReturn:
        told: int | None = None
        while True:
            # Taken before the status is read: a change during the write is looked at after it.
            changed = self._changed
            status = self._statuses.get(request.service, HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                await context.write(HealthCheckResponse(status=status))
                told = status
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
