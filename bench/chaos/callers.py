"""Callers that do not give up, and the promises they were given."""

from __future__ import annotations

import asyncio
import random
import uuid

import grpc
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc

from bench.chaos.books import Promises

TIMEOUT_S = 10.0
PAUSE_S = 0.2
TRIES = 200
DECISIONS_PER_KEY = 5
"""Tries under one idempotency key: the claim of a router that was killed outlives it."""


class Callers:
    """in_flight callers, each asking one prompt after the other until told to stop."""

    def __init__(self, ports: tuple[int, ...], key: str, rng: random.Random) -> None:
        self._channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}") for port in ports]
        self._stubs = [router_pb2_grpc.RouterServiceStub(c) for c in self._channels]  # type: ignore[no-untyped-call]  # generated
        self._metadata = (("authorization", f"Bearer {key}"),)
        self._rng = rng
        self.promises = Promises()

    async def run(self, in_flight: int, stop: asyncio.Event) -> None:
        try:
            await asyncio.gather(*(self._ask(number, stop) for number in range(in_flight)))
        finally:
            await self.close()

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close(None)

    async def ask(self, text: str) -> str:
        """Get an answer and send feedback, both acknowledged; returns the decision id."""
        decision_id = await self._complete(text)
        self.promises.answered.append(decision_id)
        await self._tell(decision_id, self._rng.randrange(11) / 10)
        return decision_id

    async def _ask(self, number: int, stop: asyncio.Event) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            await self.ask(f"Caller {number} asks question {count}.")

    async def _complete(self, text: str) -> str:
        message = chat_pb2.Message(role=chat_pb2.ROLE_USER, text=text)
        request = router_pb2.CompleteRequest(chat=chat_pb2.ChatRequest(messages=[message]))
        for attempt in range(TRIES):
            if attempt % DECISIONS_PER_KEY == 0:
                request.routing.idempotency_key = uuid.uuid4().hex
            try:
                done = await self._stub().Complete(
                    request, metadata=self._metadata, timeout=TIMEOUT_S
                )
            except grpc.aio.AioRpcError:
                await asyncio.sleep(PAUSE_S)
            else:
                return str(done.receipt.decision_id)
        raise TimeoutError("a router did not answer after many tries")

    async def _tell(self, decision_id: str, quality: float) -> None:
        """Send one value until it is acknowledged."""
        request = router_pb2.FeedbackRequest(decision_id=decision_id, quality=quality)
        for _ in range(TRIES):
            try:
                await self._stub().Feedback(request, metadata=self._metadata, timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS):
                    self.promises.refused.append(decision_id)
                    return
                await asyncio.sleep(PAUSE_S)
            else:
                self.promises.told[decision_id] = quality
                return
        raise TimeoutError("feedback was not acknowledged after many tries")

    def _stub(self) -> router_pb2_grpc.RouterServiceStub:
        return self._rng.choice(self._stubs)
