"""The gRPC server: our service, health per component, reflection, limits, graceful stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
import structlog
from adaptive_router.v1 import admin_pb2_grpc, router_pb2, router_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from router.domain.errors import PortTaken
from router.domain.requests import Administration, Live
from router.rpc import admin
from router.rpc.health import HealthServicer
from router.rpc.interceptor import OPEN_UNSENT, Authenticate, Guard
from router.rpc.limits import RequestLimits
from router.rpc.servicer import RouterServicer

SERVICE = router_pb2.DESCRIPTOR.services_by_name["RouterService"].full_name
REQUIRED = ("redis", "embedder")
"""Without these no request can be answered."""
QUIET_S = 0.25


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """port 0 picks a free one.

    stall_ms: for a caller to send a request, or to read one message of a stream.
    """

    host: str = "127.0.0.1"
    port: int = 8480
    max_message_bytes: int = 4 * 1024 * 1024
    max_in_flight: int = 256
    drain_ms: int = 20_000
    stall_ms: int = 60_000
    limits: RequestLimits = field(default_factory=RequestLimits)


class HealthReporter:
    """Names each component; the whole serves when the required ones do."""

    def __init__(self) -> None:
        self.servicer = HealthServicer()
        self._serving: dict[str, bool] = {}
        self._log = structlog.get_logger("health")

    async def set(self, component: str, *, serving: bool) -> None:
        if self._serving.get(component) is not serving:
            self._log.info("component", component=component, serving=serving)
        self._serving[component] = serving
        self.servicer.set(component, _status(serving=serving))
        whole = all(self._serving.get(part, False) for part in REQUIRED)
        for name in ("", SERVICE):
            self.servicer.set(name, _status(serving=whole))

    async def drain(self) -> None:
        """NOT_SERVING for good: load balancers send no more."""
        self.servicer.drain()


def _status(*, serving: bool) -> health_pb2.HealthCheckResponse.ServingStatus:
    response = health_pb2.HealthCheckResponse
    return response.SERVING if serving else response.NOT_SERVING


class RouterServer:
    """observe(method, code, seconds) is told of every call.

    administration: what operators may do, with the key that makes one; None for no such service.
    """

    def __init__(
        self,
        live: Live,
        health_reporter: HealthReporter,
        observe: Callable[[str, str, float], None],
        settings: ServerSettings,
        administration: tuple[Administration, str] | None = None,
    ) -> None:
        servicer = RouterServicer(live, settings.limits)
        doors: dict[str, Authenticate] = {SERVICE: servicer.tenant_of}
        if administration is not None:
            doors[admin.SERVICE] = admin.operator(administration[1])
        self._guard = Guard(
            doors,
            observe,
            max_in_flight=settings.max_in_flight,
            stall_ms=settings.stall_ms,
        )
        size = settings.max_message_bytes
        self._health = health_reporter
        self._drain_s = settings.drain_ms / 1_000
        self._server = grpc.aio.server(
            interceptors=[self._guard],
            options=[
                ("grpc.max_receive_message_length", size),
                # Of one connection: all that may be under way, with room for probes and watches.
                ("grpc.max_concurrent_streams", settings.max_in_flight + OPEN_UNSENT),
                ("grpc.so_reuseport", 0),
            ],
        )
        router_pb2_grpc.add_RouterServiceServicer_to_server(servicer, self._server)  # type: ignore[no-untyped-call]  # generated
        health_pb2_grpc.add_HealthServicer_to_server(health_reporter.servicer, self._server)
        if administration is not None:
            operators = admin.AdminServicer(administration[0])
            admin_pb2_grpc.add_AdminServiceServicer_to_server(operators, self._server)  # type: ignore[no-untyped-call]  # generated
        names = (*doors, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self.port = self._listen(settings)

    def _listen(self, settings: ServerSettings) -> int:
        address = f"{settings.host}:{settings.port}"
        try:
            return self._server.add_insecure_port(address)
        except RuntimeError:
            raise PortTaken(f"can't listen on {address}: change server.host or port") from None

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        """Refuse new calls, let those under way end, cut off what outlasts the drain time."""
        await self._health.drain()
        ending = asyncio.create_task(self._server.stop(self._drain_s))
        while not ending.done():
            await self._guard.idle()
            # What was accepted just before may not have begun.
            await asyncio.wait({ending}, timeout=QUIET_S)
            if not self._guard.in_flight:
                break
        # Only health watches are left now, and those have no end of their own.
        await asyncio.gather(ending, self._server.stop(0))
