"""Callers at a steady rate: some stream, some leave, some retry, and most send feedback."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import grpc
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from bench.chaos.books import Promises

RATE = 20.0
DEADLINE_S = 3.0
GRACE_S = 1.0
MAX_OUTPUT_TOKENS = 200
STREAMED, LEAVES, OWN_BOUND, RETRIED, REPEATED, JUDGED = 0.3, 0.1, 0.5, 0.5, 0.1, 0.7
LEAVES_S = (0.05, 0.4)
TELL_TRIES = 3
TELL_PAUSE_S = 0.3
UNKNOWN = "no reason"

RECONNECT = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 500)]
"""A router that is back is found soon."""

Metadata = tuple[tuple[str, str], ...]


class Fate(StrEnum):
    """LATE: the deadline ended it. HUNG: not even that, within GRACE_S. LEFT: the caller's wish."""

    ANSWERED = "answered"
    REFUSED = "refused"
    LATE = "late"
    HUNG = "hung"
    LEFT = "left"


@dataclass(slots=True)
class Call:
    """One request for an answer; times are monotonic. reason: of a refusal."""

    number: int
    asked_s: float
    took_s: float = 0.0
    fate: Fate = Fate.LEFT
    reason: str = ""
    degraded: bool = False
    told: bool | None = None
    """True if feedback was acknowledged; None where none was sent."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """A request that somebody will make.

    own_bound: its limit stands in the request, and the caller would wait longer: so it shows that
    the router keeps it. first: the decision that answered the same key before. tries: made before.
    """

    number: int
    key: str
    caller: int
    port: int
    streamed: bool
    leaves: bool
    own_bound: bool
    first: str = ""
    tries: int = 0


class SteadyTraffic:
    """twice: pairs of decisions that answered the same idempotency key."""

    def __init__(self, ports: Sequence[int], keys: Sequence[str], rng: random.Random) -> None:
        self._channels = [
            grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=RECONNECT) for port in ports
        ]
        self._stubs = [router_pb2_grpc.RouterServiceStub(c) for c in self._channels]  # type: ignore[no-untyped-call]  # generated
        self._metadata: list[Metadata] = [(("authorization", f"Bearer {key}"),) for key in keys]
        self._rng = rng
        self._again: deque[_Wish] = deque()
        self.calls: list[Call] = []
        self.promises = Promises()
        self.twice: list[tuple[str, str]] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until told to stop, then wait for what is under way."""
        async with asyncio.TaskGroup() as group:
            number, next_s = 0, time.monotonic()
            while not stop.is_set():
                wish = self._again.popleft() if self._again else self._wish(number := number + 1)
                group.create_task(self._serve(wish))
                next_s += 1 / RATE
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), max(0.0, next_s - time.monotonic()))
        for channel in self._channels:
            await channel.close(None)

    def _wish(self, number: int) -> _Wish:
        rng = self._rng
        return _Wish(
            number,
            uuid.UUID(int=rng.getrandbits(128)).hex,
            caller=rng.randrange(len(self._metadata)),
            port=rng.randrange(len(self._stubs)),
            streamed=rng.random() < STREAMED,
            leaves=rng.random() < LEAVES,
            own_bound=rng.random() < OWN_BOUND,
        )

    async def _serve(self, wish: _Wish) -> None:
        call = Call(wish.number, time.monotonic())
        self.calls.append(call)
        decision_id = await self._ask(wish, call)
        call.took_s = time.monotonic() - call.asked_s
        if call.took_s > DEADLINE_S + GRACE_S:
            call.fate = Fate.HUNG
        if decision_id:
            await self._heard(wish, call, decision_id)
        elif call.fate is not Fate.LEFT and not wish.tries and self._rng.random() < RETRIED:
            port = self._rng.randrange(len(self._stubs))
            self._again.append(replace(wish, port=port, tries=1))

    async def _heard(self, wish: _Wish, call: Call, decision_id: str) -> None:
        if wish.first:
            if decision_id != wish.first:
                self.twice.append((wish.first, decision_id))
            return
        self.promises.answered.append(decision_id)
        if self._rng.random() < REPEATED:
            self._again.append(replace(wish, first=decision_id, leaves=False))
        if self._rng.random() < JUDGED:
            await self._tell(wish, call, decision_id, self._rng.randrange(11) / 10)

    async def _ask(self, wish: _Wish, call: Call) -> str:
        """Returns the id of the decision that answered, else ""."""
        stub, timeout_s = self._stubs[wish.port], DEADLINE_S + GRACE_S * wish.own_bound
        method = stub.StreamComplete if wish.streamed else stub.Complete
        kind = router_pb2.StreamCompleteRequest if wish.streamed else router_pb2.CompleteRequest
        rpc = method(_request(kind, wish), metadata=self._metadata[wish.caller], timeout=timeout_s)
        leaving = None
        if wish.leaves:
            leaves_s = self._rng.uniform(*LEAVES_S)
            leaving = asyncio.get_running_loop().call_later(leaves_s, rpc.cancel)
        try:
            receipt = await _receipt(rpc, streamed=wish.streamed)
        except grpc.aio.AioRpcError as error:
            is_late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            call.fate, call.reason = (Fate.LATE if is_late else Fate.REFUSED), reason_of(error)
            return ""
        except asyncio.CancelledError:
            if not rpc.cancelled():
                raise
            return ""
        finally:
            if leaving is not None:
                leaving.cancel()
        call.fate, call.degraded = Fate.ANSWERED, receipt.degraded
        return str(receipt.decision_id)

    async def _tell(self, wish: _Wish, call: Call, decision_id: str, quality: float) -> None:
        """Send the same value until it is acknowledged, a few times at most, to any router."""
        request = router_pb2.FeedbackRequest(decision_id=decision_id, quality=quality)
        metadata = self._metadata[wish.caller]
        call.told = False
        for _ in range(TELL_TRIES):
            stub = self._rng.choice(self._stubs)
            try:
                await stub.Feedback(request, metadata=metadata, timeout=DEADLINE_S)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(TELL_PAUSE_S)
            else:
                self.promises.told[decision_id] = quality
                call.told = True
                return


async def _receipt(rpc: Any, *, streamed: bool) -> Any:
    if not streamed:
        return (await rpc).receipt
    done = [item.done async for item in rpc if item.HasField("done")]
    return done[-1].receipt


def _request(kind: type, wish: _Wish) -> object:
    text = f"Question {wish.number}: what is to be said of it?"
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, text=text)
    request = kind(
        chat=chat_pb2.ChatRequest(messages=[message], max_output_tokens=MAX_OUTPUT_TOKENS)
    )
    request.routing.idempotency_key = wish.key
    if wish.own_bound:
        request.routing.max_latency_ms = int(DEADLINE_S * 1_000)
    return request


def number_in(prompt: str) -> int:
    """Returns the number of the request that a prompt belongs to."""
    return int(prompt.partition(":")[0].rpartition(" ")[2])


def reason_of(error: grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it has what a call has
    for packed in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if packed.Unpack(info):
            return str(info.reason)
    return f"{error.code().name}, {UNKNOWN}"
