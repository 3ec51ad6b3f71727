"""Health and reflection: calls that are open to probes and tools without a key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc

from router.domain.errors import RouterError
from router.rpc.interceptor import Context, Decode, abort, decoded, unsent_refused, write
from router.rpc.status import status_of

OPEN_UNSENT = 32
"""Requests without a key that may be on their way at once: each may take a message's memory."""


class OpenCalls:
    """Makes handlers whose requests are read in here, OPEN_UNSENT of them at once.

    body_s: to send a request. stall_s: to read one message of a stream, or a refusal.
    """

    def __init__(self, *, body_s: float, stall_s: float) -> None:
        self._body_s = body_s
        self._stall_s = stall_s
        self._unsent: dict[asyncio.Timeout, None] = {}

    def __call__(self, handler: Any) -> Any:
        decode, encode = handler.request_deserializer, handler.response_serializer
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_stream
        if handler.request_streaming:
            talk = self._talk(behaviour, decode)
            return grpc.stream_stream_rpc_method_handler(talk, None, encode)
        call = self._call(behaviour, decode)
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(call, None, encode)
        return grpc.stream_unary_rpc_method_handler(call, None, encode)

    def _call(self, behaviour: Any, decode: Decode) -> Callable[..., Any]:
        async def call(_: object, context: Context) -> Any:
            async with self._refusing(context):
                return await behaviour(decoded(decode, await self._read(context)), context)

        return call

    def _talk(self, behaviour: Any, decode: Decode) -> Callable[..., Any]:
        async def talk(_: object, context: Context) -> None:
            requests = self._requests(context, decode)
            async with self._refusing(context), aclosing(behaviour(requests, context)) as answers:
                async for answer in answers:
                    await write(context, answer, self._stall_s)

        return talk

    async def _requests(self, context: Context, decode: Decode) -> AsyncIterator[Any]:
        end = grpc.aio.EOF  # type: ignore[attr-defined]  # missing in the stub
        while (body := await self._read(context)) is not end:
            yield decoded(decode, body)

    async def _read(self, context: Context) -> Any:
        """The oldest makes room: a probe, which sends all at once, is never kept out."""
        with unsent_refused():
            async with asyncio.timeout(self._body_s) as limit:
                self._unsent[limit] = None
                if len(self._unsent) > OPEN_UNSENT:
                    oldest = next(iter(self._unsent))
                    del self._unsent[oldest]
                    oldest.reschedule(asyncio.get_running_loop().time())
                try:
                    return await context.read()
                finally:
                    self._unsent.pop(limit, None)

    @asynccontextmanager
    async def _refusing(self, context: Context) -> AsyncIterator[None]:
        try:
            yield
        except RouterError as error:
            await abort(context, status_of(error), self._stall_s)
