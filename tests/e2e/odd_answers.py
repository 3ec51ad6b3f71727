"""A router in front of an upstream that gives odd answers, and of a spare that gives good ones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from adaptive_router.v1 import chat_pb2

from tests.contract.dialects import Dialect
from tests.e2e.conftest import Router
from tests.e2e.wire import Asked, Reply, Wire, asked_live, asked_whole, events, routed, whole

Json = dict[str, Any]
SPARE = "From the spare one."
CALM = "cache: {enabled: false}\nhealth: {failures: 1000}"
JSON_OBJECT = chat_pb2.ResponseFormat(kind=chat_pb2.ResponseFormat.KIND_JSON_OBJECT)
TOOLS = [chat_pb2.Tool(name=name) for name in ("get_weather", "get_time", "add", "mul")]


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer as its caller sees it; of a stream, what its deltas join to.

    reason: of the error, "" for none. pieces: the texts of the deltas.
    """

    text: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    finish: str = ""
    tokens: tuple[int, int] = (0, 0)
    attempts: tuple[Any, ...] = ()
    pieces: tuple[str, ...] = ()
    reason: str = ""

    @property
    def is_spare(self) -> bool:
        return self.text == SPARE

    @property
    def first(self) -> Any:
        """The attempt of the odd upstream."""
        return self.attempts[0]


Odd = Callable[[Asked], Reply]


@dataclass
class Asker:
    router: Router
    wire: Wire

    async def whole(self, name: str, **more: Any) -> Seen:
        try:
            response = await asked_whole(self.router, f"[{name}]", **more)
        except grpc.aio.AioRpcError as error:
            return Seen(reason=error.code().name)
        answer = response.answer
        return Seen(
            answer.text,
            tuple((c.id, c.name, c.arguments) for c in answer.tool_calls),
            chat_pb2.FinishReason.Name(answer.finish_reason).removeprefix("FINISH_REASON_"),
            (answer.input_tokens, answer.output_tokens),
            tuple(response.receipt.attempts),
        )

    async def live(self, name: str, **more: Any) -> Seen:
        try:
            items = await asked_live(self.router, f"[{name}]", **more)
        except grpc.aio.AioRpcError as error:
            return Seen(reason=error.code().name)
        *deltas, last = items
        calls: dict[int, list[str]] = {}
        for delta in (d.tool_call_delta for d in deltas if d.HasField("tool_call_delta")):
            call = calls.setdefault(delta.index, [delta.id, delta.name, ""])
            assert call[0], "the first piece of a call has its id and name"
            call[2] += delta.arguments
        assert [*calls] == [*range(len(calls))]
        texts = tuple(d.text_delta for d in deltas if d.HasField("text_delta"))
        return Seen(
            "".join(texts),
            tuple((call[0], call[1], call[2]) for call in calls.values()),
            chat_pb2.FinishReason.Name(last.done.finish_reason).removeprefix("FINISH_REASON_"),
            (last.done.input_tokens, last.done.output_tokens),
            tuple(last.done.receipt.attempts),
            texts,
        )

    async def both(self, name: str, **more: Any) -> tuple[Seen, Seen]:
        return await self.whole(name, **more), await self.live(name, **more)


@dataclass
class OddWire:
    """odd: how a prompt that names it is answered."""

    spoken: Dialect
    odd: Mapping[str, Odd] = field(default_factory=dict)

    def __call__(self, asked: Asked) -> Reply:
        body = json.dumps(asked.body)
        return next(reply for name, reply in self.odd.items() if f"[{name}]" in body)(asked)


def good(spoken: Dialect, asked: Asked, text: str = SPARE) -> Reply:
    finish = spoken.finishes["stop"]
    if asked.streams:
        return events(*spoken.pieces([text], None, finish), done=spoken.end_mark != b"")
    return whole(spoken.whole(text, None, finish))


def either(body: Any, pieces: list[Any], *, done: bool = False) -> Odd:
    """Returns an answer by how it was asked for."""
    return lambda asked: events(*pieces, done=done) if asked.streams else whole(body)


@asynccontextmanager
async def odd_router(
    folder: Path, spoken: Dialect, odd: Mapping[str, Odd], *, sections: str = CALM, more: str = ""
) -> AsyncIterator[Asker]:
    wire = Wire(OddWire(spoken, odd), spoken.name)
    spare = Wire(lambda asked: good(spoken, asked), spoken.name)
    async with routed(folder, {"only": [wire, spare]}, sections=sections, more=more) as router:
        yield Asker(router, wire)
