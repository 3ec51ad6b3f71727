"""Recorded outcomes at the product's ports: a provider, a clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from router.domain.catalog import Deployment, Price
from router.domain.chat import (
    Answer,
    ChatRequest,
    Delta,
    FinishReason,
    Message,
    Role,
    Sampling,
    TextPart,
    Usage,
)
from router.ports.observer import Observer

TOKENS_PER_USD: Final = 2**80
"""A power of two: scaling a recorded cost to whole tokens loses nothing."""
PRICE: Final = Price(0.0, 1e6 / TOKENS_PER_USD)
TEXT: Final = "recorded"
CALL_S: Final = 1.0


class ReplayClock:
    """Seconds that pass only while a model answers."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class RecordedProvider:
    """Implements `router.ports.upstream.Provider`; a request's sampling seed names its row.

    cost_usd: (n, k), k in the order of `arms`, which are also the models' names.
    """

    def __init__(
        self, arms: Sequence[str], cost_usd: NDArray[np.float64], clock: ReplayClock
    ) -> None:
        self._columns = {arm: column for column, arm in enumerate(arms)}
        self._cost_usd = cost_usd
        self._clock = clock

    async def complete(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> Answer:
        _ = timeout_ms
        self._clock.now_s += CALL_S
        cost_usd = self._cost_usd[request.sampling.seed, self._columns[deployment.model]]
        usage = Usage(0, int(cost_usd * TOKENS_PER_USD))
        return Answer(TEXT, FinishReason.STOP, usage, deployment.model)

    async def stream(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> AsyncGenerator[Delta | Answer]:
        yield await self.complete(deployment, request, timeout_ms)


def chat_of(prompt: str, row: int) -> ChatRequest:
    message = Message(Role.USER, (TextPart(prompt),))
    return ChatRequest((message,), sampling=Sampling(seed=row))


class StrictObserver(Observer):
    """In a replay nothing may be lost in silence."""

    def degraded(self, what: str) -> None:
        raise RuntimeError(f"the replay lost something: {what}")
