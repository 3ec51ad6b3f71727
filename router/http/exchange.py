"""A request and its response: what a handler reads and writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from router.domain.errors import DeadlineTooShort
from router.domain.tenants import Tenant
from router.http.status import Header

JSON: Final[Header] = (b"content-type", b"application/json")
EVENTS: Final[list[Header]] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
]
encoded = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Exchange:
    """A request and its response. line: its connection. named: in its path.

    answers: writes one message to the connection. stall_s: for the caller to read one.
    """

    headers: Mapping[bytes, bytes]
    named: str
    line: Any
    answers: Callable[[Any], Awaitable[None]]
    stall_s: float
    tenant: Tenant = field(default_factory=lambda: Tenant(""))
    decision_id: str = ""
    is_begun: bool = False
    is_gone: bool = False
    is_read: bool = False

    def text(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1").strip()

    async def reply(self, status: int, body: object, headers: list[Header]) -> None:
        """Answer with JSON as a whole."""
        whole = body if isinstance(body, bytes) else encoded(body)
        await self.begin(status, [JSON, (b"content-length", b"%d" % len(whole)), *headers])
        await self.write(whole, more=False)

    async def begin(self, status: int, headers: list[Header]) -> None:
        self.is_begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, piece: bytes, *, more: bool = True) -> None:
        """Raises DeadlineTooShort where the caller reads nothing."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})

    async def _send(self, message: Any) -> None:
        if not self.line.flow.write_paused:
            await self.answers(message)
            return
        try:
            async with asyncio.timeout(self.stall_s):
                await self.answers(message)
        except TimeoutError:
            self.is_gone = True
            self.line.on_lost = None
            self.line.transport.abort()
            raise DeadlineTooShort(
                f"nothing was read from the stream for {self.stall_s:g} s: read it as it comes"
            ) from None
