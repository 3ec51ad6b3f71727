"""Answers a chat in any dialect: read, route, write, whole or as a stream of events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self, TypeVar
from uuid import uuid4

from router.domain.chat import ChatRequest, Delta
from router.domain.requests import Completion, Live, RouteRequest
from router.doors.checks import RequestLimits, Violations
from router.http.bodies import decoded_twice
from router.http.exchange import EVENTS, ErrorForm, Exchange
from router.http.options import (
    Wishes,
    WishReader,
    client_timeout_s,
    deadline_of,
    named,
    receipt_headers,
)
from router.http.originals import OriginalReader, refuse_unserved
from router.http.reading import ChatBuilder
from router.runtime.fair_queue import CheckPool

T = TypeVar("T")
QUICK_BYTES = 8_192
"""A longer body is read on the thread for checks, so that the event loop goes on."""


class AnswerWriter(Protocol):
    """Writes one answer in a dialect. ping: what clients of a stream read over.

    errors: writes the error that ends a stream, after the events before it.
    """

    ping: ClassVar[bytes]

    @property
    def errors(self) -> ErrorForm: ...

    def whole(self, done: Completion) -> dict[str, Any]: ...

    def delta(self, item: Delta) -> bytes: ...

    def end(self, done: Completion) -> bytes: ...


@dataclass(frozen=True, slots=True)
class AskedChat:
    """A request as a dialect has it. metadata: may hold wishes. streams: as events."""

    model: str
    chat: ChatRequest
    metadata: dict[str, Any]
    streams: bool
    writer: AnswerWriter


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts that handlers share. clock: seconds since the epoch. new_id: of streams.

    ping_s: silence of a stream after which it is given a sign of life.
    """

    live: Live
    checks: CheckPool
    limits: RequestLimits
    ping_s: float
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = field(default=lambda: uuid4().hex)

    async def read(self, tenant: str, body: bytes, read: Callable[[], T]) -> T:
        return read() if len(body) <= QUICK_BYTES else await self.checks.run(tenant, read)


class Pinger:
    """A context in which silence is broken by `ping`, first after `every_s` and then as often.

    What lies between a caller and a stream that says nothing would hold it for dead.
    """

    def __init__(self, call: Exchange, ping: bytes, every_s: float) -> None:
        self._call = call
        self._ping = ping
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._heard_s = self._loop.time()
        self._timer = self._loop.call_later(every_s, self._look)
        self._sending: asyncio.Task[Any] | None = None

    def heard(self) -> None:
        """Something was written."""
        self._heard_s = self._loop.time()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None, /
    ) -> None:
        self._timer.cancel()
        if self._sending is not None:
            self._sending.cancel()

    def _look(self) -> None:
        now_s = self._loop.time()
        if now_s - self._heard_s >= self._every_s:
            # Where the caller reads nothing, the write of an answer waits for it with a limit.
            if not self._call.line.flow.write_paused:
                self._sending = self._loop.create_task(self._send())
            self._heard_s = now_s
        self._timer = self._loop.call_at(self._heard_s + self._every_s, self._look)

    async def _send(self) -> None:
        if not self._call.is_begun:
            await self._call.begin(200, EVENTS)
        await self._call.write(self._ping)


Object = dict[str, Any]
ReadChat = Callable[[Any, Object, ChatBuilder, Desk], AskedChat]
"""Reads a body that was decoded twice: to its type, and whole."""


class ChatHandler:
    """Serves one dialect. decode: the body's JSON. read: what it asks for. originals: as it is."""

    def __init__(
        self,
        desk: Desk,
        decode: Callable[[bytes], Any],
        read: ReadChat,
        originals: OriginalReader,
    ) -> None:
        self._desk = desk
        self._decode = decode
        self._read = read
        self._originals = originals

    async def __call__(self, call: Exchange, body: bytes) -> None:
        request, asked = await self.request(call, body)
        if asked.streams:
            await self._stream(call, request, asked.writer)
            return
        done = await self._desk.live.service.complete(request)
        call.note(done.record)
        await call.reply(200, asked.writer.whole(done), receipt_headers(done.record))

    async def request(self, call: Exchange, body: bytes) -> tuple[RouteRequest, AskedChat]:
        """Returns what to route, and how it was asked. Raises InvalidRequest, Overloaded."""
        desk = self._desk
        read = partial(self._asked, call, body)
        asked, wishes = await desk.read(call.tenant.name, body, read)
        waits_s = None if asked.streams else client_timeout_s(call.text)
        deadline_s = deadline_of(wishes, waits_s, desk.clock())
        request = RouteRequest(
            call.tenant,
            asked.chat,
            wishes.options,
            deadline_s,
            wishes.task,
            wishes.plan,
            wishes.no_evidence,
        )
        return request, asked

    def _asked(self, call: Exchange, body: bytes) -> tuple[AskedChat, Wishes]:
        desk, found = self._desk, Violations()
        builder = ChatBuilder(found, desk.limits)
        read, plain = decoded_twice(body, self._decode)
        refuse_unserved(plain, found)
        asked = self._read(read, plain, builder, desk)
        chat = self._originals.add(asked.chat, body, plain, call.text)
        arm, plan = named(asked.model, desk.live.service.catalog, call.tenant)
        wishes = WishReader(call.text, asked.metadata, desk.limits, found).read(arm, plan)
        found.done()
        return replace(asked, chat=chat), wishes

    async def _stream(self, call: Exchange, request: RouteRequest, writer: AnswerWriter) -> None:
        """Answer with events; what fails before the first of them is an answer of its own."""
        call.form = writer.errors
        stream = self._desk.live.service.stream(request)
        pinger = Pinger(call, writer.ping, self._desk.ping_s)
        async with aclosing(stream) as items:
            with pinger:
                async for item in items:
                    await self._write(call, item, writer)
                    pinger.heard()

    async def _write(self, call: Exchange, item: Delta | Completion, writer: AnswerWriter) -> None:
        if isinstance(item, Completion):
            if not call.is_begun:
                await call.begin(200, EVENTS + receipt_headers(item.record))
            call.note(item.record)
            await call.write(writer.end(item), more=False)
            return
        if not call.is_begun:
            await call.begin(200, EVENTS)
        if piece := writer.delta(item):
            await call.write(piece)
