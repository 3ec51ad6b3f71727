"""Real local HTTP servers that speak each provider's protocol, as far as the contract asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from demo.stack import free_port

Json = dict[str, Any]
CALL = {"id": "call_0", "name": "add", "arguments": {"a": 1}}


@dataclass(frozen=True)
class Dialect:
    """whole: text, tool call or None, finish -> body. pieces: the same as SSE data."""

    name: str
    prefix: str
    paths: tuple[str, ...]
    key_header: str
    whole: Callable[[str, Json | None, str], Json]
    pieces: Callable[[Sequence[str], str], list[Json]]
    finishes: dict[str, str]


def _openai(text: str, call: Json | None, finish: str) -> Json:
    message: Json = {"role": "assistant", "content": text}
    if call:
        function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
        message["tool_calls"] = [{"id": call["id"], "type": "function", "function": function}]
    return {
        "model": "served",
        "choices": [{"message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7},
    }


def _openai_pieces(texts: Sequence[str], finish: str) -> list[Json]:
    parts = [{"model": "served", "choices": [{"delta": {"content": t}}]} for t in texts]
    end: Json = {"choices": [{"delta": {}, "finish_reason": finish}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}}
    return [*parts, end, usage]


def _anthropic(text: str, call: Json | None, finish: str) -> Json:
    blocks: list[Json] = [{"type": "text", "text": text}]
    if call:
        use = {"type": "tool_use", "id": call["id"], "name": call["name"]}
        blocks.append(use | {"input": call["arguments"]})
    usage = {"input_tokens": 11, "output_tokens": 7}
    return {"model": "served", "content": blocks, "stop_reason": finish, "usage": usage}


def _anthropic_pieces(texts: Sequence[str], finish: str) -> list[Json]:
    start = {"model": "served", "content": [], "usage": {"input_tokens": 11, "output_tokens": 1}}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": t}}
        for t in texts
    ]
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": finish},
            "usage": {"output_tokens": 7},
        },
        {"type": "message_stop"},
    ]


def _gemini(text: str, call: Json | None, finish: str) -> Json:
    parts: list[Json] = [{"text": text}]
    if call:
        parts.append({"functionCall": {"name": call["name"], "args": call["arguments"]}})
    return {
        "modelVersion": "served",
        "candidates": [{"content": {"parts": parts}, "finishReason": finish}],
        "usageMetadata": {
            "promptTokenCount": 11,
            "candidatesTokenCount": 4,
            "thoughtsTokenCount": 3,
        },
    }


def _gemini_pieces(texts: Sequence[str], finish: str) -> list[Json]:
    parts = [{"candidates": [{"content": {"parts": [{"text": t}]}}]} for t in texts]
    return [*parts, _gemini("", None, finish)]


DIALECTS = (
    Dialect(
        "openai",
        "/v1",
        ("/v1/chat/completions",),
        "authorization",
        _openai,
        _openai_pieces,
        {"stop": "stop", "length": "length", "filter": "content_filter"},
    ),
    Dialect(
        "anthropic",
        "",
        ("/v1/messages",),
        "x-api-key",
        _anthropic,
        _anthropic_pieces,
        {"stop": "end_turn", "length": "max_tokens", "filter": "refusal"},
    ),
    Dialect(
        "gemini",
        "",
        ("/v1beta/models/{model}",),
        "x-goog-api-key",
        _gemini,
        _gemini_pieces,
        {"stop": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY"},
    ),
)


@dataclass
class Upstream:
    """What the server is to answer next, and what it was asked last."""

    dialect: Dialect
    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    texts: tuple[str, ...] = ("Forty", "-two.")
    call: Json | None = None
    finish: str = "stop"
    wait_s: float = 0.0
    break_off: bool = False
    asked: Json = field(default_factory=dict)
    asked_headers: dict[str, str] = field(default_factory=dict)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.dialect.prefix}"

    def app(self) -> Starlette:
        return Starlette(
            routes=[Route(p, self._serve, methods=["POST"]) for p in self.dialect.paths]
        )

    async def _serve(self, request: Request) -> Response:
        self.asked, self.asked_headers = await request.json(), dict(request.headers)
        if self.body is not None or self.status != 200:
            return Response(self.body or b"{}", self.status, self.headers)
        finish = self.dialect.finishes[self.finish]
        if "stream" in str(request.url) or self.asked.get("stream"):
            return StreamingResponse(self._pieces(finish), media_type="text/event-stream")
        await asyncio.sleep(self.wait_s)
        return JSONResponse(self.dialect.whole("".join(self.texts), self.call, finish))

    async def _pieces(self, finish: str) -> AsyncIterator[bytes]:
        pieces = self.dialect.pieces(self.texts, finish)
        try:
            for piece in pieces[:-1] if self.break_off else pieces:
                yield f"data: {json.dumps(piece)}\r\n\r\n".encode()
                await asyncio.sleep(self.wait_s)
        except asyncio.CancelledError:
            self.left.set()
            raise


@asynccontextmanager
async def served(upstream: Upstream) -> AsyncIterator[Upstream]:
    upstream.port = free_port()
    config = uvicorn.Config(
        upstream.app(), port=upstream.port, log_level="critical", lifespan="off"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())  # noqa: SLF001 - `serve` would take the signals
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield upstream
    finally:
        server.should_exit = True
        await task
