"""A simulated provider: a real HTTP server that speaks OpenAI chat completions, with SSE."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import click
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from demo.bodies import Asked, usage_of
from demo.caching import PromptCache
from demo.recorded import RecordedWorld
from demo.simulated import SimulatedWorld
from demo.stack import free_port
from demo.talks import TalkWorld
from demo.world import ARMS, Profile, Reply, World, chance, cost_usd

PIECE_CHARS = 24
INSTANT = Profile(0.1, 0.1, first_token_ms=0, token_ms=0, failure_rate=0)
INSTANT_REPLY = Reply("An answer that takes no time.", 1.0, 10, 8)

Find = Callable[[str], Reply]


@dataclass(slots=True)
class LedgerEntry:
    """One call in a provider's ledger; output_tokens grow while they are generated.

    A caller who leaves ends a stream, but not an answer that was to come at once. began_s:
    monotonic.
    """

    model: str
    prompt: str
    input_tokens: int
    output_tokens: float = 0.0
    cached_tokens: int = 0
    written_tokens: int = 0
    began_s: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Upstream:
    """find: prompt -> reply. down: every call is answered 503, as an overloaded provider does.

    speed: how many times faster than its profile the provider works. ledger: calls that are
    charged; None keeps no account.
    """

    name: str
    profile: Profile
    find: Find
    down: bool = False
    speed: float = 1.0
    ledger: list[LedgerEntry] | None = None
    cache: PromptCache | None = None

    def app(self) -> Starlette:
        numbers = count()

        async def complete(request: Request) -> Response:
            number = next(numbers)
            try:
                body = await request.json()
                asked = Asked.read(body)
            except (ValueError, KeyError, TypeError, AttributeError):
                return _error("messages: send a list of chat messages", 400)
            if self.down or self._refuses(asked, number):
                return _error("overloaded", 503)
            reply = self.reply(asked, body)
            served = LedgerEntry(
                asked.model,
                asked.prompt,
                reply.input_tokens,
                cached_tokens=reply.cached_tokens,
                written_tokens=reply.written_tokens,
            )
            if self.ledger is not None:
                self.ledger.append(served)
            if asked.stream:
                pieces = self._pieces(reply, number, served, counted=asked.counted)
                return StreamingResponse(pieces, media_type="text/event-stream")
            served.output_tokens = reply.output_tokens
            await self._work(reply.output_tokens)
            return JSONResponse(self._whole(reply, number))

        async def control(request: Request) -> Response:
            try:
                self.down = bool((await request.json())["down"])
            except (ValueError, KeyError, TypeError):
                return _error('send {"down": true} or {"down": false}', 400)
            return JSONResponse({"down": self.down})

        async def ledger(_: Request) -> Response:
            calls = self.ledger or []
            usd = sum(cost_usd(self.profile, call) for call in calls)
            return JSONResponse({"calls": len(calls), "usd": usd})

        async def models(_: Request) -> Response:
            return JSONResponse({"object": "list", "data": [{"id": self.name, "object": "model"}]})

        return Starlette(
            routes=[
                Route("/v1/chat/completions", complete, methods=["POST"]),
                Route("/v1/models", models),
                Route("/control", control, methods=["POST"]),
                Route("/ledger", ledger),
            ]
        )

    def _refuses(self, asked: Asked, number: int) -> bool:
        """Refuse the same prompts in every run; of a conversation any call, so that it goes on."""
        drawn = chance(self.name, number if self.cache else asked.prompt)
        return drawn < self.profile.failure_rate

    def reply(self, asked: Asked, body: dict[str, Any]) -> Reply:
        """Returns the answer to a request that will be charged."""
        reply = self.find(asked.prompt)
        return self.cache.reply(reply, asked, body) if self.cache else reply

    async def _work(self, tokens: float, *, first: bool = True) -> None:
        wait_ms = self.profile.token_ms * tokens + (self.profile.first_token_ms if first else 0)
        if wait_ms:
            await asyncio.sleep(wait_ms / 1_000 / self.speed)

    def _whole(self, reply: Reply, number: int) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
        if reply.looks_up:
            function = {"name": "look_up", "arguments": json.dumps({"note": number})}
            message |= {
                "tool_calls": [{"id": f"c{number}", "type": "function", "function": function}]
            }
            choice["finish_reason"] = "tool_calls"
        return self._envelope("chat.completion", number, [choice]) | {"usage": usage_of(reply)}

    async def _pieces(
        self, reply: Reply, number: int, served: LedgerEntry, *, counted: bool
    ) -> AsyncIterator[bytes]:
        texts = [reply.text[i : i + PIECE_CHARS] for i in range(0, len(reply.text), PIECE_CHARS)]
        await self._work(0)
        for text in texts:
            await self._work(reply.output_tokens / len(texts), first=False)
            served.output_tokens += reply.output_tokens / len(texts)
            yield self._event(number, [{"index": 0, "delta": {"content": text}}])
        ending = {"index": 0, "delta": {}, "finish_reason": reply.finish_reason}
        yield self._event(number, [ending])
        if counted:
            yield self._event(number, [], usage=usage_of(reply))
        yield b"data: [DONE]\n\n"

    def _event(self, number: int, choices: list[dict[str, Any]], **more: Any) -> bytes:
        chunk = self._envelope("chat.completion.chunk", number, choices) | more
        return f"data: {json.dumps(chunk)}\n\n".encode()

    def _envelope(self, kind: str, number: int, choices: list[dict[str, Any]]) -> dict[str, Any]:
        name = f"chatcmpl-{number}"
        return {"id": name, "object": kind, "created": 0, "model": self.name, "choices": choices}


def served(upstream: Upstream) -> AbstractAsyncContextManager[int]:
    """The port of the upstream, served as `served_app` does."""
    return served_app(upstream.app())


@asynccontextmanager
async def served_app(app: Starlette) -> AsyncIterator[int]:
    """The port of a real HTTP server in this loop; at the end it waits for no answer."""
    port = free_port()
    config = uvicorn.Config(
        app,
        port=port,
        log_level="critical",
        lifespan="off",
        timeout_graceful_shutdown=0,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())  # noqa: SLF001 - `serve` would take the signals
    while not server.started:  # noqa: ASYNC110 - uvicorn sets no event
        await asyncio.sleep(0.005)
    try:
        yield port
    finally:
        server.should_exit = True
        await task


def _error(message: str, status: int) -> JSONResponse:
    return JSONResponse({"error": {"message": message}}, status_code=status)


def finder(world: World, arm: str) -> Find:
    """Prompts the world does not know get a plain answer of middling length."""
    numbers = {ask.text: ask.index for ask in world.asks}

    def find(prompt: str) -> Reply:
        index = numbers.get(prompt)
        if index is not None:
            return world.reply(arm, index)
        return Reply(f"[{arm}] A simulated answer.", 1.0, 8 + len(prompt) // 4, 60)

    return find


def make_world(count_: int, seed: int, *, recorded: bool, talks: bool = False) -> World:
    return (TalkWorld if talks else RecordedWorld if recorded else SimulatedWorld)(count_, seed)


@click.command()
@click.option("--profile", type=click.Choice([*ARMS, "instant"]), required=True)
@click.option("--port", type=int, required=True)
@click.option("--prompts", default=600)
@click.option("--seed", default=0)
@click.option("--recorded", is_flag=True)
@click.option("--conversations", "talks", is_flag=True)
@click.option("--speed", default=1.0, type=click.FloatRange(min=0, min_open=True))
def main(
    profile: str,
    port: int,
    prompts: int,
    seed: int,
    *,
    recorded: bool,
    talks: bool,
    speed: float,
) -> None:
    """Serve one arm of the world on 127.0.0.1."""
    if profile == "instant":
        upstream = Upstream(profile, INSTANT, lambda _: INSTANT_REPLY)
    else:
        world = make_world(prompts, seed, recorded=recorded, talks=talks)
        sold, find = world.profiles[profile], finder(world, profile)
        upstream = Upstream(profile, sold, find, speed=speed, ledger=[] if talks else None)
        upstream.cache = PromptCache(sold) if talks else None
    uvicorn.run(upstream.app(), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
