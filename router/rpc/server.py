"""The gRPC server: our service, health per component, reflection, limits, graceful stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
from adaptive_router.v1 import admin_pb2_grpc, router_pb2_grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from router.domain.errors import PortTaken
from router.domain.requests import Administration, Live
from router.rpc import admin
from router.rpc.checks import RequestLimits
from router.rpc.health import HealthReporter
from router.rpc.interceptor import OPEN_UNSENT, Authenticate, CallGuard
from router.rpc.servicer import SERVICE, RouterServicer

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
        self._guard = CallGuard(
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
        health_pb2_grpc.add_HealthServicer_to_server(health_reporter, self._server)
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
        self._health.drain()
        ending = asyncio.create_task(self._server.stop(self._drain_s))
        while not ending.done():
            await self._guard.idle()
            # What was accepted just before may not have begun.
            await asyncio.wait({ending}, timeout=QUIET_S)
            if not self._guard.in_flight:
                break
        # Only health watches are left now, and those have no end of their own.
        await asyncio.gather(ending, self._server.stop(0))
