"""A request and its response: what a handler reads and writes, and how a refusal is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec

from router.domain.errors import DeadlineTooShort, RouterError
from router.domain.records import DecisionRecord
from router.domain.tenants import Tenant
from router.doors.house import REQUEST_ID, DoorCall
from router.http.bodies import Receive
from router.http.status import Header, Problem

JSON: Final[Header] = (b"content-type", b"application/json")
EVENTS: Final[list[Header]] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
]
IDS: Final = (REQUEST_ID.encode(), b"request-id")
"""Headers that hold a request's id: that of OpenAI's clients, that of Anthropic's."""
DRAIN_S: Final = 2.0
"""Time for a caller that was refused while it sends to read why."""
encoded = msgspec.json.Encoder().encode


class ErrorForm(Protocol):
    """The form that a dialect gives to errors."""

    def whole(self, problem: Problem) -> dict[str, Any]: ...

    def event(self, problem: Problem) -> bytes:
        """Write it as the last event of a stream."""
        ...


@dataclass(slots=True)
class Exchange:
    """A request and its response. line: its connection. named: in its path.

    told: the call as log and trace have it. receive: reads a message of the connection, answers
    writes one. stall_s: for the caller to read one. form: of errors.
    """

    headers: Mapping[bytes, bytes]
    named: str
    line: Any
    told: DoorCall
    receive: Receive
    answers: Callable[[Any], Awaitable[None]]
    stall_s: float
    form: ErrorForm
    tenant: Tenant = field(default_factory=lambda: Tenant(""))
    is_begun: bool = False
    is_gone: bool = False
    is_read: bool = False

    def text(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1").strip()

    @property
    def has_body(self) -> bool:
        headers = self.headers
        return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"

    def note(self, record: DecisionRecord) -> None:
        """It was decided on; log and trace tell how."""
        self.told.note(record)

    async def reply(self, status: int, body: object, headers: list[Header]) -> None:
        """Answer with JSON as a whole."""
        whole = body if isinstance(body, bytes) else encoded(body)
        await self.begin(status, [JSON, (b"content-length", b"%d" % len(whole)), *headers])
        await self.write(whole, more=False)

    async def begin(self, status: int, headers: list[Header]) -> None:
        self.is_begun = True
        self.told.status = status
        ids = [(name, self.told.request_id.encode()) for name in IDS]
        head = {"type": "http.response.start", "status": status, "headers": headers + ids}
        await self._send(head)

    async def write(self, piece: bytes, *, more: bool = True) -> None:
        """Raises DeadlineTooShort where the caller reads nothing."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})

    async def tell_why(self, problem: Problem) -> None:
        """Answer with the error, or end a stream that was begun with it."""
        if self.is_gone:
            return
        try:
            if self.is_begun:
                await self.write(self.form.event(problem), more=False)
            elif self.is_read or not self.has_body:
                await self.reply(problem.status, self.form.whole(problem), problem.headers)
            else:
                await self._refuse_unread(problem)
        except RouterError:
            pass  # reads nothing, not even that
        except asyncio.CancelledError:
            if not self.is_gone:
                raise
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - within one
            task.uncancel()

    async def _refuse_unread(self, problem: Problem) -> None:
        """Answer while the body is on its way: closed at once, its caller would not read why."""
        body = encoded(self.form.whole(problem))
        length = (b"content-length", b"%d" % len(body))
        await self.begin(
            problem.status, [JSON, length, *problem.headers, (b"connection", b"close")]
        )
        await self.write(body)
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._drained()
        await self.write(b"", more=False)

    async def _drained(self) -> None:
        try:
            while (await self.receive()).get("more_body"):
                pass
        except RouterError:  # nothing more is read of it, but it is still on its way
            await asyncio.sleep(DRAIN_S)

    async def _send(self, message: Any) -> None:
        if not self.line.flow.write_paused:
            await self.answers(message)
            return
        try:
            async with asyncio.timeout(self.stall_s):
                await self.answers(message)
        except TimeoutError:
            self.is_gone = True
            self.line.hang_up()
            raise DeadlineTooShort(
                f"nothing was read from the stream for {self.stall_s:g} s: read it as it comes"
            ) from None
