"""A gRPC server that answers as a test says, and keeps what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc
from adaptive_router_client import AsyncClient, Client
from grpc_status import rpc_status

from router.domain.errors import RouterError
from router.rpc.status import status_of

PATIENCE_S = 60.0
Step = Any
"""An error of the router, a gRPC status for an error without details, or messages."""


@dataclass(frozen=True, slots=True)
class Plain:
    """An UNAVAILABLE as gRPC words it."""

    text: str


@dataclass(slots=True)
class Script(router_pb2_grpc.RouterServiceServicer):
    """steps: one for each call, the last one for all that follow."""

    steps: list[Step] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def Complete(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's
        return await self._next(request, context)

    Decide = ReportOutcome = Feedback = GetDecision = Complete

    async def StreamComplete(self, request: Any, context: Any) -> Any:  # noqa: N802 - the same
        try:
            for item in await self._next(request, context):
                if item is None:
                    await asyncio.sleep(PATIENCE_S)
                elif isinstance(item, RouterError):
                    await refuse(context, item)
                else:
                    yield item
        except asyncio.CancelledError:
            self.left.set()
            raise

    async def _next(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, RouterError):
            await refuse(context, step)
        if isinstance(step, grpc.StatusCode):
            await context.abort(step, "no details")
        if isinstance(step, Plain):
            await context.abort(grpc.StatusCode.UNAVAILABLE, step.text)
        return step


async def refuse(context: Any, error: RouterError) -> None:
    status = rpc_status.to_status(status_of(error))
    await context.abort(status.code, status.details, status.trailing_metadata)


@asynccontextmanager
async def serving(*steps: Step, port: int = 0) -> AsyncIterator[Script]:
    script, server = Script(list(steps)), grpc.aio.server()
    router_pb2_grpc.add_RouterServiceServicer_to_server(script, server)
    script.port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield script
    finally:
        await server.stop(None)


def answer(text: str = "yes", **receipt: Any) -> router_pb2.CompleteResponse:
    told = router_pb2.Receipt(decision_id="d1", **receipt)
    return router_pb2.CompleteResponse(answer=chat_pb2.Answer(text=text), receipt=told)


def text_of(words: str) -> router_pb2.StreamCompleteResponse:
    return router_pb2.StreamCompleteResponse(text_delta=words)


def done() -> router_pb2.StreamCompleteResponse:
    end = router_pb2.StreamCompleteResponse.Done(
        finish_reason=chat_pb2.FINISH_REASON_STOP,
        output_tokens=2,
        receipt=router_pb2.Receipt(decision_id="d1"),
    )
    return router_pb2.StreamCompleteResponse(done=end)


class Either:
    """One face for both clients: what a test asks, it asks of each. waits: what was waited for."""

    def __init__(self, kind: str, port: int, **settings: Any) -> None:
        self.kind, self.waits = kind, list[float]()
        made: Callable[..., Any] = Client if kind == "threads" else AsyncClient
        sleep = self.waits.append if kind == "threads" else self._slept
        self.client = made(f"127.0.0.1:{port}", key="ar_x", sleep=sleep, **settings)

    async def _slept(self, wait_s: float) -> None:
        self.waits.append(wait_s)

    async def ask(self, name: str, *args: Any, **named: Any) -> Any:
        call = getattr(self.client, name)
        if self.kind == "threads":
            return await asyncio.to_thread(call, *args, **named)
        return await call(*args, **named)

    async def texts(self, *args: Any, **named: Any) -> tuple[list[str], Any]:
        """Read a whole stream."""
        if self.kind == "threads":
            return await asyncio.to_thread(self._read, *args, **named)
        async with self.client.stream(*args, **named) as stream:
            return [text async for text in stream.texts], stream.completion

    def _read(self, *args: Any, **named: Any) -> tuple[list[str], Any]:
        with self.client.stream(*args, **named) as stream:
            return list(stream.texts), stream.completion

    async def close(self) -> None:
        if self.kind == "threads":
            self.client.close()
        else:
            await self.client.close()
