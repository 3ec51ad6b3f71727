"""The standard health service, whose changes wait for nobody who watches."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from router.rpc.servicer import SERVICE
from router.runtime.loops import Report

Context = grpc.aio.ServicerContext[HealthCheckRequest, HealthCheckResponse]

REQUIRED = ("redis", "embedder")
"""Without these no request can be answered."""
LIVE = "live"
"""Of this process alone: a restart heals it, and nobody else's failure concerns it."""
STAND_INS = {"redis": "spool"}
"""A component that serves in place of a required one: requests go on without that."""


class HealthReporter(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # untyped
    """Names each component; the whole serves when the required ones do.

    The library's servicer writes to a watcher under the lock that a change takes: one who reads
    nothing would hold up every later change, and the server's stop.
    """

    def __init__(self) -> None:
        self._statuses: dict[str, HealthCheckResponse.ServingStatus] = {
            "": HealthCheckResponse.SERVING
        }
        self._changed = asyncio.Event()
        self._draining = self._are_doors_open = False
        self._serving: dict[str, bool] = {}
        self._late: dict[str, asyncio.TimerHandle] = {}
        self._log = structlog.get_logger("health")

    async def set(self, component: str, *, serving: bool) -> None:
        self._note(component, serving=serving)

    def watched(self, component: str, within_s: float) -> Report:
        """Returns a report of a component that does not serve once nothing was told for so long.

        The event loop itself keeps the time, so that a watch that hangs is noticed.
        """

        async def report(*, serving: bool) -> None:
            self._note(component, serving=serving)
            if component in self._late:
                self._late[component].cancel()
            loop = asyncio.get_running_loop()
            self._late[component] = loop.call_later(within_s, self._is_late, component)

        return report

    def _is_late(self, component: str) -> None:
        if not self._draining:
            self._log.warning("component_watch_late", component=component)
            self._note(component, serving=False)

    def _note(self, component: str, *, serving: bool) -> None:
        if self._serving.get(component) is not serving:
            self._log.info("component", component=component, serving=serving)
        self._serving[component] = serving
        if self._draining:
            return
        whole = all(map(self._is_met, REQUIRED))
        self._statuses[component] = _status(serving=serving)
        self._statuses |= dict.fromkeys(("", SERVICE), _status(serving=whole))
        self._wake()

    def _is_met(self, part: str) -> bool:
        stand_in = STAND_INS.get(part, part)
        return self._serving.get(part, False) or self._serving.get(stand_in, False)

    def serves(self, component: str) -> bool:
        """Returns whether a component does, the whole for ""."""
        return bool(self._statuses.get(component) == HealthCheckResponse.SERVING)

    def opened(self) -> None:
        """Note that every door is open."""
        self._are_doors_open = True

    def answers(self) -> bool:
        """Returns whether a request that comes from outside would be answered."""
        return self._are_doors_open and self.serves("")

    def drain(self) -> None:
        """Report NOT_SERVING for good, whatever is set later: load balancers send no more.

        The process lives: ended before its calls are, it would cut off what has been paid.
        """
        self._draining = True
        for timer in self._late.values():
            timer.cancel()
        lives = {name: status for name, status in self._statuses.items() if name == LIVE}
        self._statuses = dict.fromkeys(self._statuses, HealthCheckResponse.NOT_SERVING) | lives
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


def _status(*, serving: bool) -> HealthCheckResponse.ServingStatus:
    return HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
