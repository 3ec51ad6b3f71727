"""Callers who hold conversations: they look up what a model asks for and rate its answers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc

from demo.caching import BYTES_PER_TOKEN
from demo.client import TIMEOUT_S, Ask
from demo.talks import CACHE_TTL_S, NOTE_TOKENS, Talk, TalkWorld, notes

IN_FLIGHT = 8
TRIES = 3
PAUSE_S = CACHE_TTL_S + 0.5
TOOL = chat_pb2.Tool(
    name="look_up",
    description="Reads a note of the account.",
    parameters='{"type": "object", "properties": {"note": {"type": "integer"}}}',
)
NOTHING = "(no answer)"


@dataclass(frozen=True, slots=True)
class Turn:
    """One request. right: the answer's, None where the model looked something up. arm: "" fails."""

    latency_ms: float
    right: float | None = None
    arm: str = ""
    usd: float = 0.0
    input_tokens: int = 0
    cached_tokens: int = 0
    locked: bool = False


@dataclass(slots=True)
class Callers:
    """arm: who is to answer, in a row of its own; "" lets the router choose, and teaches it."""

    stub: router_pb2_grpc.RouterServiceStub
    api_key: str
    world: TalkWorld
    arm: str = ""

    async def hold(self) -> AsyncIterator[tuple[Talk, list[Turn]]]:
        """Conversations as they end, IN_FLIGHT at a time."""
        room = asyncio.Semaphore(IN_FLIGHT)

        async def one(talk: Talk) -> tuple[Talk, list[Turn]]:
            async with room:
                return talk, await self._talk(talk)

        for ended in asyncio.as_completed([one(talk) for talk in self.world.talks]):
            yield await ended

    async def _talk(self, talk: Talk) -> list[Turn]:
        """Each row's accounts are its own, so that it finds no cache warm but what it warmed."""
        rules = f"Service {self.arm or 'router'}. {talk.rules}"
        system = chat_pb2.Message(role=chat_pb2.ROLE_SYSTEM, text=rules)
        chat, turns = chat_pb2.ChatRequest(messages=[system], tools=[TOOL]), list[Turn]()
        for number, ask in enumerate(talk.asks):
            if number and number == talk.pause_at:
                await asyncio.sleep(PAUSE_S)
            turns += await self._question(talk, ask, chat)
        return turns

    async def _question(self, talk: Talk, ask: Ask, chat: chat_pb2.ChatRequest) -> list[Turn]:
        chat.messages.add(role=chat_pb2.ROLE_USER, text=ask.text)
        kind = chat_pb2.ResponseFormat
        form = kind.KIND_JSON_OBJECT if ask.wants_json else kind.KIND_TEXT
        chat.response_format.kind = form
        turns, decisions = list[Turn](), list[str]()
        while True:
            began_s = time.perf_counter()
            done = await self._complete(talk, chat)
            latency_ms = (time.perf_counter() - began_s) * 1_000
            if done is None:
                return [*turns, Turn(latency_ms, right=0.0)]
            answer, receipt = done.answer, done.receipt
            decisions += [] if receipt.locked else [receipt.decision_id]
            said = chat.messages.add(role=chat_pb2.ROLE_ASSISTANT, tool_calls=answer.tool_calls)
            said.text = answer.text or ("" if answer.tool_calls else NOTHING)
            for call in answer.tool_calls:
                text = notes(NOTE_TOKENS * BYTES_PER_TOKEN, talk.number, call.arguments)
                chat.messages.add(role=chat_pb2.ROLE_TOOL, text=text, tool_call_id=call.id)
            right = None if answer.tool_calls else self.world.grade(ask.index, answer.text)
            turns.append(_turn(receipt, right, latency_ms))
            if right is not None:
                await self._rate(decisions, right)
                return turns

    async def _complete(
        self, talk: Talk, chat: chat_pb2.ChatRequest
    ) -> router_pb2.CompleteResponse | None:
        routing = router_pb2.RoutingOptions(arm=self.arm, task=talk.task)
        request = router_pb2.CompleteRequest(chat=chat, routing=routing)
        for _ in range(TRIES):
            with contextlib.suppress(grpc.aio.AioRpcError):
                done: router_pb2.CompleteResponse = await self.stub.Complete(
                    request, metadata=self._metadata, timeout=TIMEOUT_S
                )
                return done
        return None

    async def _rate(self, decisions: list[str], right: float) -> None:
        """Tell those that were chosen; one that was named by the caller teaches nothing."""
        for each in [] if self.arm else decisions:
            feedback = router_pb2.FeedbackRequest(decision_id=each, quality=right)
            await self.stub.Feedback(feedback, metadata=self._metadata, timeout=TIMEOUT_S)

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.api_key}"),)


def _turn(receipt: router_pb2.Receipt, right: float | None, latency_ms: float) -> Turn:
    return Turn(
        latency_ms=latency_ms,
        right=right,
        arm=receipt.arm,
        usd=receipt.cost_usd,
        input_tokens=sum(a.input_tokens for a in receipt.attempts),
        cached_tokens=sum(a.cached_input_tokens for a in receipt.attempts),
        locked=receipt.locked,
    )
