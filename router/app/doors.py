"""The doors of a router: gRPC, and HTTP beside it, which shares its bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from router.app.certificates import CertificateWatch
from router.config import Config
from router.config.values import drain_ms_of
from router.domain.requests import Live
from router.doors.identity import CurrentIdentity
from router.observe.metrics import Metrics
from router.ports.observer import Tracer
from router.rpc.health import HealthReporter
from router.rpc.server import RouterServer
from router.runtime.loops import TaskSupervisor

if TYPE_CHECKING:
    from router.http.server import HttpServer

CONNECTIONS_A_CALL = 4
"""Connections for each call that may be under way: most of a pool are idle."""


@asynccontextmanager
async def open_doors(
    config: Config,
    live: Live,
    server: RouterServer,
    health: HealthReporter,
    metrics: Metrics,
    *,
    tracer: Tracer,
    shown: CurrentIdentity | None,
    loops: TaskSupervisor,
) -> AsyncIterator[int]:
    """The port of the HTTP door, 0 for none; at the end both drain side by side.

    shown: the certificate, which a loop of `loops` follows.

    Raises PortTaken.
    """
    door = None
    if config.server.http_port is not None:
        door = _http_door(config, live, server, health, metrics, tracer=tracer, shown=shown)
    try:
        await server.start()
        if door is not None:
            await door.start()
        if shown is not None and config.server.tls is not None:
            renew = door.renew if door is not None else _nobody
            watch = CertificateWatch(config, config.server.tls, shown, renew, metrics)
            loops.start(watch, "certificates")
        health.opened()
        yield door.port if door else 0
    finally:
        await asyncio.gather(server.stop(), *([door.stop()] if door else []))


async def _nobody(_: object) -> None:
    """The gRPC door asks for its certificate at every handshake."""


def _http_door(
    config: Config,
    live: Live,
    server: RouterServer,
    health: HealthReporter,
    metrics: Metrics,
    *,
    tracer: Tracer,
    shown: CurrentIdentity | None,
) -> HttpServer:
    # A router without this door does without its libraries' memory.
    from router.http.server import HttpServer, HttpSettings  # noqa: PLC0415 - see above

    section = config.server
    settings = HttpSettings(
        host=section.host,
        port=section.http_port or 0,
        max_body_bytes=section.max_message_bytes,
        max_connections=CONNECTIONS_A_CALL * section.max_in_flight,
        body_timeout_ms=section.body_timeout_ms,
        stall_ms=section.stall_ms,
        ping_ms=section.ping_ms,
        drain_ms=drain_ms_of(config),
    )
    return HttpServer(
        live,
        health.serves,
        metrics.request,
        house=server.house,
        checks=server.checks,
        settings=settings,
        tracer=tracer,
        shown=shown,
    )
