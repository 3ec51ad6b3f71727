"""A router with its HTTP door open, in front of upstreams whose every request is in a ledger."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anthropic
import openai

from tests.e2e.conftest import KEY, Router
from tests.e2e.wire import Asked, Json, Reply, Wire, events, routed, whole

QUESTION: list[Any] = [{"role": "user", "content": "How many roads?"}]
SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CALLS = (("c1", '{"city": "Paris"}'), ("c2", '{"city": "Oslo"}'))
USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
PATIENCE_S = 60.0


def says(text: str = "Forty-two.") -> Any:
    """Answers of OpenAI's upstream, whole or streamed word by word."""

    def answer(asked: Asked) -> Reply:
        if not asked.streams:
            return _whole({"role": "assistant", "content": text}, "stop")
        words = [_chunk({"content": word}) for word in text.split(" ")]
        return events(*words, _chunk({}, "stop"), {"choices": [], "usage": USAGE}, done=True)

    return answer


def calls(asked: Asked) -> Reply:
    """Two calls at once."""
    made = [
        {"index": i, "id": id_, "type": "function", "function": {"name": "weather", "arguments": a}}
        for i, (id_, a) in enumerate(CALLS)
    ]
    if not asked.streams:
        return _whole({"role": "assistant", "content": None, "tool_calls": made}, "tool_calls")
    pieces = [_chunk({"tool_calls": [call]}) for call in made]
    return events(*pieces, _chunk({}, "tool_calls"), {"choices": [], "usage": USAGE}, done=True)


def _whole(message: Json, finish: str) -> Reply:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return whole({"id": "x", "model": "m", "choices": [choice], "usage": USAGE})


def _chunk(delta: Json, finish: str | None = None) -> Json:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


@dataclass
class Held(Wire):
    """Begins an answer and never ends it. left_s: when the router hung up."""

    left_s: float = 0.0
    began: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def _write(
        self, asked: Asked, _: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if asked.streams:
            writer.write(b"data: " + json.dumps(_chunk({"content": "One "})).encode() + b"\n\n")
            await writer.drain()
        self.began.set()
        await reader.read()
        self.left_s = time.monotonic()
        self.left.set()


@asynccontextmanager
async def door(folder: Path, *wires: Wire, server: str = "", **more: Any) -> AsyncIterator[Router]:
    """Yields a router whose arm `a` has these deployments."""
    opened = routed(folder, {"a": wires}, server=f", http_port: 0{server}", **more)
    async with opened as router:
        yield router


def url(router: Router) -> str:
    return f"http://127.0.0.1:{router.http_port}"


def openai_client(router: Router, **more: Any) -> openai.AsyncOpenAI:
    given = {"api_key": KEY, "base_url": f"{url(router)}/v1", "max_retries": 0} | more
    return openai.AsyncOpenAI(**given)


def anthropic_client(router: Router, **more: Any) -> anthropic.AsyncAnthropic:
    given = {"api_key": KEY, "base_url": url(router), "max_retries": 0} | more
    return anthropic.AsyncAnthropic(**given)


async def raw(router: Router, sent: bytes, *, within_s: float = PATIENCE_S) -> bytes:
    """Returns everything that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", router.http_port)
    try:
        writer.write(sent)
        async with asyncio.timeout(within_s):
            return await reader.read()
    finally:
        writer.close()


def post(path: str, body: bytes, *headers: str) -> bytes:
    """Returns a request as bytes, its connection closed after the answer."""
    lines = [
        f"POST {path} HTTP/1.1",
        "host: x",
        f"content-length: {len(body)}",
        "connection: close",
        *(headers or ("content-type: application/json", f"authorization: Bearer {KEY}")),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
