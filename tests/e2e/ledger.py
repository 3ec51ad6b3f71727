"""An upstream over raw sockets that misbehaves as told and keeps a ledger of what it generated."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Json = dict[str, Any]
INPUT_TOKENS = 12
"""A guess of every prompt here, near enough beside the outputs."""


@dataclass
class Ledger:
    """kind: says by a request's prompt how it is treated.

    answer: after wait_s. hang, reset, malformed, error: the whole output limit is generated, then
    nothing, an abort, nonsense or a fault that was never begun (which costs nothing). silent: as
    hang, but nothing is generated. stream: a token every pace_s until the caller leaves; after
    `stall` tokens it stops for ever. host: another name that it is called by.
    """

    kind: Callable[[str], str] = lambda _: "answer"
    wait_s: float = 0.0
    pace_s: float = 0.005
    stall: int = 1_000_000
    output_tokens: int = 5
    seen: int = 0
    open: int = 0
    most_open: int = 0
    input_tokens: int = 0
    generated: int = 0
    port: int = 0
    host: str = ""

    def usd(self, input_usd_per_mtok: float, output_usd_per_mtok: float) -> float:
        paid = self.input_tokens * input_usd_per_mtok + self.generated * output_usd_per_mtok
        return paid / 1e6

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = [
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ]
        asked = json.loads(await reader.readexactly(length))
        self.seen += 1
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            return await self._treat(asked, reader, writer)
        finally:
            self.open -= 1

    async def _treat(
        self, asked: Json, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        kind = self.kind(asked["messages"][-1]["content"])
        if kind == "error":
            writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")
            return True
        self.input_tokens += INPUT_TOKENS
        if kind == "answer" and not asked.get("stream"):
            await asyncio.sleep(self.wait_s)
            self.generated += self.output_tokens
            return _whole(writer, _answer(self.output_tokens))
        if kind in ("answer", "stream"):
            await asyncio.sleep(self.wait_s)
            tokens = self.output_tokens if kind == "answer" else asked["max_tokens"]
            return await self._stream(tokens, reader, writer)
        if kind != "silent":
            self.generated += asked["max_tokens"]
        if kind in ("hang", "silent"):
            await reader.read()
        elif kind == "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        elif kind == "malformed":
            return _whole(writer, {"choices": []})
        return False

    async def _stream(
        self, tokens: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        left = asyncio.create_task(reader.read())
        for number in range(tokens):
            if number >= self.stall:
                await left
            if left.done():
                return False
            self.generated += 1
            _event(writer, {"choices": [{"delta": {"content": "word "}}]})
            await writer.drain()
            await asyncio.sleep(self.pace_s)
        usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": tokens}
        _event(writer, {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage})
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()
        left.cancel()
        return False


def _answer(tokens: int) -> Json:
    return {
        "choices": [{"message": {"content": "word " * tokens}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": INPUT_TOKENS, "completion_tokens": tokens},
    }


def _whole(writer: asyncio.StreamWriter, answer: Json) -> bool:
    body = json.dumps(answer).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    return True


def _event(writer: asyncio.StreamWriter, data: Json) -> None:
    writer.write(b"data: " + json.dumps(data).encode() + b"\n\n")


class Speaker(Protocol):
    port: int

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None: ...


OneSpeaker = TypeVar("OneSpeaker", bound=Speaker)


@asynccontextmanager
async def upstream(speaker: OneSpeaker) -> AsyncIterator[OneSpeaker]:
    """Serve it on a port of its own; its connections are ended with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await speaker.serve(reader, writer)
        except asyncio.CancelledError:
            writer.close()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1_024)
    speaker.port = server.sockets[0].getsockname()[1]
    try:
        yield speaker
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
