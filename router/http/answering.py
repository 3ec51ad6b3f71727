"""Answers a chat in any dialect: read, route, write, whole or as a stream of events."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from router.domain.chat import ChatRequest, Delta
from router.domain.requests import Completion, Live, RouteRequest
from router.doors.checks import RequestLimits, Violations
from router.http.bodies import decoded
from router.http.exchange import EVENTS, Exchange
from router.http.options import Wishes, WishReader, deadline_of, named, receipt_headers
from router.http.reading import ChatBuilder
from router.runtime.fair_queue import CheckPool

T = TypeVar("T")
QUICK_BYTES = 8_192
"""A longer body is read on the thread for checks, so that the event loop goes on."""


class AnswerWriter(Protocol):
    """Writes one answer in a dialect."""

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
    """What handlers share. clock: seconds since the epoch. new_id: of streams."""

    live: Live
    checks: CheckPool
    limits: RequestLimits
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = field(default=lambda: uuid4().hex)

    async def read(self, tenant: str, body: bytes, read: Callable[[], T]) -> T:
        return read() if len(body) <= QUICK_BYTES else await self.checks.run(tenant, read)


ReadChat = Callable[[Any, ChatBuilder, Desk], AskedChat]


class ChatHandler:
    """Serves one dialect. decode: the body's JSON. read: what it asks for."""

    def __init__(self, desk: Desk, decode: Callable[[bytes], Any], read: ReadChat) -> None:
        self._desk = desk
        self._decode = decode
        self._read = read

    async def __call__(self, call: Exchange, body: bytes) -> None:
        request, asked = await self.request(call, body)
        if asked.streams:
            await self._stream(call, request, asked.writer)
            return
        done = await self._desk.live.service.complete(request)
        call.decision_id = done.record.id
        await call.reply(200, asked.writer.whole(done), receipt_headers(done.record))

    async def request(self, call: Exchange, body: bytes) -> tuple[RouteRequest, AskedChat]:
        """Returns what to route, and how it was asked. Raises InvalidRequest, Overloaded."""
        desk = self._desk
        read = partial(self._asked, call, body)
        asked, wishes = await desk.read(call.tenant.name, body, read)
        deadline_s = deadline_of(wishes, desk.clock())
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
        asked = self._read(decoded(body, self._decode), builder, desk)
        arm, plan = named(asked.model, desk.live.service.catalog, call.tenant)
        wishes = WishReader(call.text, asked.metadata, desk.limits, found).read(arm, plan)
        found.done()
        return asked, wishes

    async def _stream(self, call: Exchange, request: RouteRequest, writer: AnswerWriter) -> None:
        """Answer with events; what fails before the first of them is an answer of its own."""
        async with aclosing(self._desk.live.service.stream(request)) as items:
            async for item in items:
                if not call.is_begun:
                    known = isinstance(item, Completion)
                    head = receipt_headers(item.record) if isinstance(item, Completion) else []
                    await call.begin(200, EVENTS + head if known else EVENTS)
                if isinstance(item, Completion):
                    call.decision_id = item.record.id
                    await call.write(writer.end(item), more=False)
                else:
                    await call.write(writer.delta(item))
