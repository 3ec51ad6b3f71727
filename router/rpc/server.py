"""The gRPC server: our service, health per component, reflection, limits, graceful stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
from adaptive_router.v1 import admin_pb2_grpc, router_pb2_grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from router.domain import MS_PER_S
from router.domain.errors import PortTaken
from router.domain.requests import Live
from router.doors.checks import RequestLimits
from router.doors.house import MESSAGES_HELD, HouseBounds
from router.doors.identity import CurrentIdentity, DoorIdentity
from router.ports.observer import NO_TRACER, Tracer
from router.rpc import admin
from router.rpc.health import HealthReporter
from router.rpc.interceptor import Authenticate, CallGuard
from router.rpc.open_calls import OPEN_UNSENT, OpenCalls
from router.rpc.servicer import SERVICE, RouterServicer
from router.runtime.fair_queue import CheckPool

QUIET_S = 0.25
CUT_S = 1.0
"""For calls that are cut off to tell their callers so."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """port 0 picks a free one.

    tenant_share: of calls and bytes under way, for one tenant alone. max_body_bytes: of all
    requests under way; None for MESSAGES_HELD of the greatest size.
    body_timeout_ms: for a handshake, and for a caller to send a request. stall_ms: to read one
    message of a stream.
    max_connection_age_ms: None for connections that stay. min_ping_ms: between two pings of one.
    """

    host: str = "127.0.0.1"
    port: int = 8480
    max_message_bytes: int = 4 * 1024 * 1024
    max_in_flight: int = 256
    max_body_bytes: int | None = None
    tenant_share: float = 0.75
    body_timeout_ms: int = 5_000
    stall_ms: int = 20_000
    drain_ms: int = 65_000
    max_connection_age_ms: int | None = None
    min_ping_ms: int = 1_000
    limits: RequestLimits = field(default_factory=RequestLimits)

    @property
    def bounds(self) -> HouseBounds:
        return HouseBounds(
            max_in_flight=self.max_in_flight,
            message_bytes=self.max_message_bytes,
            body_bytes=self.max_body_bytes or MESSAGES_HELD * self.max_message_bytes,
            body_s=self.body_timeout_ms / MS_PER_S,
            share=self.tenant_share,
        )

    @property
    def options(self) -> list[tuple[str, int]]:
        """The channel arguments of grpc."""
        options = [
            ("grpc.max_receive_message_length", self.max_message_bytes),
            # Of one connection: all that may be under way, with room for probes and watches.
            ("grpc.max_concurrent_streams", self.max_in_flight + OPEN_UNSENT),
            # What nobody reads yet stays with its sender, but for a window of this size.
            ("grpc.http2.bdp_probe", 0),
            ("grpc.so_reuseport", 0),
            # Clients behind load balancers ping while a long call says nothing.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", self.min_ping_ms),
            ("grpc.server_handshake_timeout_ms", self.body_timeout_ms),
        ]
        if self.max_connection_age_ms is not None:
            options += [
                ("grpc.max_connection_age_ms", self.max_connection_age_ms),
                ("grpc.max_connection_age_grace_ms", self.drain_ms),
            ]
        return options


def listen_address(host: str, port: int) -> str:
    """Returns the address in the form that grpc reads; an IPv6 address stands in brackets.

    >>> listen_address("0.0.0.0", 8480), listen_address("router.example", 1)
    ('0.0.0.0:8480', 'router.example:1')
    >>> listen_address("::", 8480), listen_address("[::1]", 8480)
    ('[::]:8480', '[::1]:8480')
    """
    bare = host.removeprefix("[").removesuffix("]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def _credentials(shown: CurrentIdentity) -> grpc.ServerCredentials:
    """Returns credentials that are asked for at every handshake."""
    handed = shown.identity

    def newer() -> grpc.ServerCertificateConfiguration | None:
        nonlocal handed
        identity = shown.identity
        if identity is handed:
            return None
        made = _configuration(identity)
        handed = identity
        return made

    return grpc.dynamic_ssl_server_credentials(
        _configuration(handed),
        newer,  # type: ignore[arg-type]  # None for no change, which the stub does not know
        require_client_authentication=bool(handed.client_ca),
    )


def _configuration(identity: DoorIdentity) -> grpc.ServerCertificateConfiguration:
    pair, client_ca = (identity.key, identity.chain), identity.client_ca
    return grpc.ssl_server_certificate_configuration([pair], client_ca or None)


class RouterServer:
    """observe(method, code, seconds) is told of every call.

    operators: their use cases, with the key that makes one; None for no such service.
    shown: the certificate; None to speak in the clear.
    load(): counts calls of tenants that are worked on. house, checks: for other doors beside it.
    """

    def __init__(
        self,
        live: Live,
        health_reporter: HealthReporter,
        observe: Callable[[str, str, float], None],
        settings: ServerSettings,
        operators: admin.Operators | None = None,
        *,
        tracer: Tracer = NO_TRACER,
        shown: CurrentIdentity | None = None,
    ) -> None:
        self.checks = CheckPool(settings.max_in_flight)
        servicer = RouterServicer(live, settings.limits, self.checks)
        doors: dict[str, Authenticate] = {SERVICE: servicer.tenant_of}
        if operators is not None:
            doors[admin.SERVICE] = admin.operator(operators.key)
        bounds, stall_s = settings.bounds, settings.stall_ms / MS_PER_S
        open_calls = OpenCalls(body_s=bounds.body_s, stall_s=stall_s)
        self._guard = CallGuard(
            doors, observe, bounds, open_calls, self.checks, stall_s=stall_s, tracer=tracer
        )
        self.house = self._guard.house
        self.load = self._guard.admitted
        self._health = health_reporter
        self._drain_s = settings.drain_ms / MS_PER_S
        self._server = grpc.aio.server(interceptors=[self._guard], options=settings.options)
        router_pb2_grpc.add_RouterServiceServicer_to_server(servicer, self._server)  # type: ignore[no-untyped-call]  # generated
        health_pb2_grpc.add_HealthServicer_to_server(health_reporter, self._server)
        if operators is not None:
            for_operators = admin.AdminServicer(operators)
            admin_pb2_grpc.add_AdminServiceServicer_to_server(for_operators, self._server)  # type: ignore[no-untyped-call]  # generated
        names = (*doors, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self.port = self._listen(settings, shown)

    def _listen(self, settings: ServerSettings, shown: CurrentIdentity | None) -> int:
        address = listen_address(settings.host, settings.port)
        try:
            if shown is not None:
                return self._server.add_secure_port(address, _credentials(shown))
            return self._server.add_insecure_port(address)
        except RuntimeError:
            raise PortTaken(f"can't listen on {address}: change server.host or port") from None

    @property
    def waiting(self) -> int:
        """Requests that wait to be converted."""
        return self.checks.waiting

    @property
    def under_way(self) -> int:
        """Calls that have not ended, those that wait or are being refused among them."""
        return self._guard.calls.in_flight

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        """Refuse new calls, let those under way end, cut off what outlasts the drain time."""
        self._health.drain()
        ending = asyncio.create_task(self._server.stop(self._drain_s + CUT_S))
        try:
            async with asyncio.timeout(self._drain_s):
                await self._idle(ending)
        except TimeoutError:
            self._guard.calls.cut()
            await asyncio.wait({ending}, timeout=CUT_S)
        # Only health watches are left now, and those have no end of their own.
        await asyncio.gather(ending, self._server.stop(0))
        self.checks.close()

    async def _idle(self, ending: asyncio.Task[None]) -> None:
        while not ending.done():
            await self._guard.calls.idle()
            # What was accepted just before may not have begun.
            await asyncio.wait({ending}, timeout=QUIET_S)
            if not self._guard.calls.in_flight:
                return
