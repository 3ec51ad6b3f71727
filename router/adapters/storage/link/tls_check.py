"""One end speaks TLS and the other does not: the driver sees a silence or an end of file."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final
from urllib.parse import urlsplit

from router.adapters.storage.link.address import Address
from router.adapters.storage.link.failures import FailureKind

PATIENCE_S: Final = 0.5


async def tls_mismatch(address: Address) -> FailureKind | None:
    """Returns which end speaks TLS alone; None where that is not what is wrong."""
    for host, port, tls in _servers(address):
        try:
            async with asyncio.timeout(PATIENCE_S):
                if tls and await _speaks_plainly(host, port):
                    return FailureKind.TLS_NOT_SPOKEN
                if not tls and await _speaks_tls(host, port):
                    return FailureKind.TLS_EXPECTED
        except (OSError, ValueError):  # a time-out is one too
            continue
    return None


def _servers(address: Address) -> list[tuple[str, int, bool]]:
    if address.nodes is not None:
        return [(host, port, address.nodes.tls) for host, port in address.nodes.nodes[:1]]
    parts = urlsplit(address.url)
    if parts.scheme not in {"redis", "rediss"}:
        return []
    return [(parts.hostname or "", parts.port or 6379, parts.scheme == "rediss")]


async def _speaks_plainly(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"PING\r\n")
        return (await reader.read(1)) in {b"+", b"-"}
    finally:
        writer.transport.abort()


async def _speaks_tls(host: str, port: int) -> bool:
    # Nothing is sent over this connection, so nobody has to be trusted.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    writer.transport.abort()
    return True
