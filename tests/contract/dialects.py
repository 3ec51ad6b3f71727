"""Real local HTTP servers that speak each provider's protocol, as far as the contract asks."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from demo.stack import free_port

Json = dict[str, Any]
PIECE_BYTES = 256 * 1024
CALL = {"id": "call_0", "name": "add", "arguments": {"a": 1}}


class Dialect(ABC):
    """One protocol as its servers speak it; a subclass is all that the suite needs of it.

    finishes: the suite's names for why an answer ended, in the protocol's words, without those it
    has no word for. model: the one that answers name; that of the deployment where they name none.
    end_mark: what follows the last piece where the protocol has a mark beyond JSON.
    takes_top_p: beside a temperature.
    """

    name: str
    prefix = ""
    path: str
    key_header: str
    finishes: Mapping[str, str]
    end_mark = b""
    model = "served"
    has_seed = True
    has_stops = True
    takes_top_p = True
    marks_its_end = True

    @abstractmethod
    def whole(self, text: str, call: Json | None, finish: str) -> Json:
        """Return the body of a whole answer."""

    @abstractmethod
    def pieces(self, texts: Sequence[str], call: Json | None, finish: str) -> list[Json]:
        """Return the data of a stream's events."""

    def uncounted(self, text: str) -> bytes:
        """Return a whole answer without usage."""
        whole = self.whole(text, None, self.finishes["stop"])
        kept = {name: value for name, value in whole.items() if "usage" not in name}
        return json.dumps(kept).encode()


class OpenAIDialect(Dialect):
    name = "openai"
    prefix = "/v1"
    path = "/v1/chat/completions"
    key_header = "authorization"
    finishes: ClassVar = {
        "stop": "stop",
        "length": "length",
        "filter": "content_filter",
        "call": "tool_calls",
    }
    end_mark = b"data: [DONE]\n\n"

    def whole(self, text: str, call: Json | None, finish: str) -> Json:
        message: Json = {"role": "assistant", "content": text}
        if call:
            function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
            message["tool_calls"] = [{"id": call["id"], "type": "function", "function": function}]
        return {
            "model": "served",
            "choices": [{"message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7},
        }

    def pieces(self, texts: Sequence[str], call: Json | None, finish: str) -> list[Json]:
        deltas: list[Json] = [{"content": text} for text in texts]
        if call:
            said = json.dumps(call["arguments"])
            begun = {"id": call["id"], "function": {"name": call["name"], "arguments": ""}}
            calls = [begun, *({"function": {"arguments": piece}} for piece in said)]
            deltas += [{"tool_calls": [{"index": 0} | piece]} for piece in calls]
        parts = [{"model": "served", "choices": [{"delta": delta}]} for delta in deltas]
        end: Json = {"choices": [{"delta": {}, "finish_reason": finish}]}
        usage = {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}}
        return [*parts, end, usage]


class AnthropicDialect(Dialect):
    name = "anthropic"
    path = "/v1/messages"
    key_header = "x-api-key"
    finishes: ClassVar = {
        "stop": "end_turn",
        "length": "max_tokens",
        "filter": "refusal",
        "call": "tool_use",
    }
    has_seed = False
    takes_top_p = False

    def whole(self, text: str, call: Json | None, finish: str) -> Json:
        blocks: list[Json] = [{"type": "text", "text": text}]
        if call:
            use = {"type": "tool_use", "id": call["id"], "name": call["name"]}
            blocks.append(use | {"input": call["arguments"]})
        usage = {"input_tokens": 11, "output_tokens": 7}
        return {"model": "served", "content": blocks, "stop_reason": finish, "usage": usage}

    def pieces(self, texts: Sequence[str], call: Json | None, finish: str) -> list[Json]:
        usage = {"input_tokens": 11, "output_tokens": 1}
        start = {"model": "served", "content": [], "usage": usage}
        texting = {"type": "text", "text": ""}
        return [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": texting},
            {"type": "ping"},
            *(self._piece(0, {"type": "text_delta", "text": text}) for text in texts),
            {"type": "content_block_stop", "index": 0},
            *(self._call(call) if call else []),
            {
                "type": "message_delta",
                "delta": {"stop_reason": finish},
                "usage": {"output_tokens": 7},
            },
            {"type": "message_stop"},
        ]

    def _call(self, call: Json) -> list[Json]:
        use = {"type": "tool_use", "id": call["id"], "name": call["name"], "input": {}}
        said = json.dumps(call["arguments"])
        return [
            {"type": "content_block_start", "index": 1, "content_block": use},
            *(self._piece(1, {"type": "input_json_delta", "partial_json": s}) for s in said),
            {"type": "content_block_stop", "index": 1},
        ]

    def _piece(self, index: int, delta: Json) -> Json:
        return {"type": "content_block_delta", "index": index, "delta": delta}


class GeminiDialect(Dialect):
    name = "gemini"
    path = "/v1beta/models/{model}"
    key_header = "x-goog-api-key"
    finishes: ClassVar = {
        "stop": "STOP",
        "length": "MAX_TOKENS",
        "filter": "SAFETY",
        "call": "STOP",
    }
    marks_its_end = False

    def whole(self, text: str, call: Json | None, finish: str) -> Json:
        parts: list[Json] = [{"text": text}]
        if call:
            spoken = {"id": call["id"], "name": call["name"], "args": call["arguments"]}
            parts.append({"functionCall": spoken, "thoughtSignature": "c2ln"})
        return {
            "modelVersion": "served",
            "candidates": [{"content": {"parts": parts}, "finishReason": finish}],
            "usageMetadata": {
                "promptTokenCount": 11,
                "candidatesTokenCount": 4,
                "thoughtsTokenCount": 3,
            },
        }

    def pieces(self, texts: Sequence[str], call: Json | None, finish: str) -> list[Json]:
        parts = [{"candidates": [{"content": {"parts": [{"text": t}]}}]} for t in texts]
        return [*parts, self.whole("", call, finish)]


class ResponsesDialect(Dialect):
    name = "responses"
    prefix = "/v1"
    path = "/v1/responses"
    key_header = "authorization"
    finishes: ClassVar = {
        "stop": "completed",
        "length": "max_output_tokens",
        "filter": "content_filter",
        "call": "completed",
    }
    has_seed = False
    has_stops = False

    def whole(self, text: str, call: Json | None, finish: str) -> Json:
        said = {"type": "output_text", "text": text, "annotations": []}
        output: list[Json] = [{"type": "message", "role": "assistant", "content": [said]}]
        if call:
            output.append(self._call(call, json.dumps(call["arguments"])))
        is_cut = finish not in ("completed", None, "", "null")
        return {
            "object": "response",
            "status": "incomplete" if is_cut else finish,
            "incomplete_details": {"reason": finish} if is_cut else None,
            "error": None,
            "model": "served",
            "output": output,
            "usage": {"input_tokens": 11, "output_tokens": 7},
        }

    def pieces(self, texts: Sequence[str], call: Json | None, finish: str) -> list[Json]:
        begun = {"type": "message", "role": "assistant", "content": []}
        whole = self.whole("".join(texts), call, finish)
        kind = "completed" if finish == "completed" else "incomplete"
        told: list[Json] = [
            self._event("created", response=whole | {"status": "in_progress", "output": []}),
            self._event("output_item.added", output_index=0, item=begun),
            *(self._event("output_text.delta", output_index=0, delta=text) for text in texts),
            self._event("output_item.done", output_index=0, item=whole["output"][0]),
        ]
        if call:
            said = json.dumps(call["arguments"])
            told.append(self._event("output_item.added", output_index=1, item=self._call(call, "")))
            told += [
                self._event("function_call_arguments.delta", output_index=1, delta=piece)
                for piece in said
            ]
            done = self._event("output_item.done", output_index=1, item=self._call(call, said))
            told.append(done)
        return [*told, self._event(kind, response=whole)]

    def _call(self, call: Json, arguments: str) -> Json:
        named = {"type": "function_call", "call_id": call["id"], "name": call["name"]}
        return named | {"arguments": arguments}

    def _event(self, kind: str, **more: Any) -> Json:
        return {"type": f"response.{kind}"} | more


DIALECTS = tuple(spoken() for spoken in Dialect.__subclasses__())


@dataclass
class Upstream:
    """The server's next answer, and the last request it got.

    chunked: `body` goes out without its length. wait_s: before a whole answer, and after every
    piece of a stream. pieces: how many of a stream are sent. aborts: the connection is cut after
    them. linger_s: how long a stream stays open after its end. peers: ports of the callers.
    """

    dialect: Dialect
    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    chunked: bool = False
    texts: tuple[str, ...] = ("Forty", "-two.")
    call: Json | None = None
    finish: str = "stop"
    wait_s: float = 0.0
    pieces: int | None = None
    aborts: bool = False
    linger_s: float = 0.0
    asked: Json = field(default_factory=dict)
    asked_path: str = ""
    asked_headers: dict[str, str] = field(default_factory=dict)
    peers: list[int] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.dialect.prefix}"

    def app(self) -> Starlette:
        return Starlette(routes=[Route(self.dialect.path, self._serve, methods=["POST"])])

    async def _serve(self, request: Request) -> Response:
        self.asked, self.asked_headers = await request.json(), dict(request.headers)
        self.asked_path = str(request.url.path)
        self.peers.append(request.client.port if request.client else 0)
        if self.body is not None or self.status != 200:
            return self._fixed(self.body or b"{}")
        finish = self.dialect.finishes[self.finish]
        if "stream" in str(request.url) or self.asked.get("stream"):
            return StreamingResponse(self._pieces(finish), media_type="text/event-stream")
        await self._think(request)
        return JSONResponse(self.dialect.whole("".join(self.texts), self.call, finish))

    def _fixed(self, body: bytes) -> Response:
        if not self.chunked:
            return Response(body, self.status, self.headers)
        pieces = (body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES))
        return StreamingResponse(pieces, self.status, self.headers)

    async def _think(self, request: Request) -> None:
        """Wait as a model does, until its answer is ready or nobody waits for it."""
        until_s = asyncio.get_running_loop().time() + self.wait_s
        while asyncio.get_running_loop().time() < until_s:
            if await request.is_disconnected():
                self.left.set()
                return
            await asyncio.sleep(0.01)

    async def _pieces(self, finish: str) -> AsyncIterator[bytes]:
        pieces = self.dialect.pieces(self.texts, self.call, finish)
        try:
            for piece in pieces[: self.pieces]:
                yield f"event: any\r\ndata: {json.dumps(piece)}\r\n\r\n".encode()
                await asyncio.sleep(self.wait_s)
            if self.aborts:
                raise ConnectionAbortedError
            if self.pieces is None:
                yield self.dialect.end_mark
            await asyncio.sleep(self.linger_s)
        except asyncio.CancelledError:
            self.left.set()
            raise


@asynccontextmanager
async def served(upstream: Upstream) -> AsyncIterator[Upstream]:
    """Stopped by hand: uvicorn would wait a tenth of a second for whoever is still connected."""
    upstream.port = free_port()
    config = uvicorn.Config(
        upstream.app(), port=upstream.port, log_level="critical", lifespan="off"
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield upstream
    finally:
        for listener in server.servers:
            listener.close()
        for connection in [*server.server_state.connections]:
            connection.transport.abort()
        for task in server.server_state.tasks:
            task.cancel()
