"""A caller: sends prompts through the gRPC API, grades the answers and reports feedback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import grpc
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt to send. index: its number in the world."""

    index: int
    text: str
    wants_json: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """Result of one request. arm: "" for an error, "cache" for an answer given before."""

    index: int
    latency_ms: float
    arm: str = ""
    quality: float = 0.0
    cost_usd: float = 0.0
    escalated: bool = False
    failed_over: bool = False
    cached: bool = False
    error: str = ""


Grade = Callable[[int, str], float]


class Client:
    """in_flight: how many requests are under way at once."""

    def __init__(
        self, channel: grpc.aio.Channel, api_key: str, grade: Grade, in_flight: int = 4
    ) -> None:
        self._stub = router_pb2_grpc.RouterServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        self._metadata = (("authorization", f"Bearer {api_key}"),)
        self._grade = grade
        self._in_flight = in_flight

    async def send(self, asks: Sequence[Ask]) -> AsyncIterator[Sample]:
        """Samples in the order in which they end."""
        room = asyncio.Semaphore(self._in_flight)

        async def one(ask: Ask) -> Sample:
            async with room:
                return await self._ask(ask)

        for ended in asyncio.as_completed([one(ask) for ask in asks]):
            yield await ended

    async def _ask(self, ask: Ask) -> Sample:
        began_s = time.perf_counter()
        try:
            response = await self._stub.Complete(
                _request(ask), metadata=self._metadata, timeout=TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            latency_ms = (time.perf_counter() - began_s) * 1_000
            return Sample(ask.index, latency_ms, error=error.code().name)
        latency_ms = (time.perf_counter() - began_s) * 1_000
        quality = self._grade(ask.index, response.answer.text)
        await self._report(response.receipt.decision_id, quality)
        return _sample(ask.index, response.receipt, quality, latency_ms)

    async def _report(self, decision_id: str, quality: float) -> None:
        feedback = router_pb2.FeedbackRequest(decision_id=decision_id, quality=quality)
        await self._stub.Feedback(feedback, metadata=self._metadata, timeout=TIMEOUT_S)


def _request(ask: Ask) -> router_pb2.CompleteRequest:
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, text=ask.text)
    chat = chat_pb2.ChatRequest(messages=[message])
    if ask.wants_json:
        chat.response_format.kind = chat_pb2.ResponseFormat.KIND_JSON_OBJECT
    return router_pb2.CompleteRequest(chat=chat)


def _sample(index: int, receipt: router_pb2.Receipt, quality: float, latency_ms: float) -> Sample:
    outcomes = [attempt.outcome for attempt in receipt.attempts]
    cached = receipt.cache in (
        router_pb2.CACHE_STATUS_EXACT,
        router_pb2.CACHE_STATUS_SEMANTIC,
    )
    return Sample(
        index=index,
        arm="cache" if cached else receipt.arm,
        quality=quality,
        cost_usd=receipt.cost_usd,
        latency_ms=latency_ms,
        escalated=router_pb2.ATTEMPT_OUTCOME_ESCALATED in outcomes,
        failed_over=router_pb2.ATTEMPT_OUTCOME_FAILED in outcomes,
        cached=cached,
    )
