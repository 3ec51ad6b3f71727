"""Models that are asked: the embedder, providers and a verifier."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from router.domain.catalog import Deployment
from router.domain.chat import Answer, ChatRequest, Delta, ToolCall, Unseen

Embedding: TypeAlias = NDArray[np.float32]
EMBEDDING_MODEL: Final = "bge-small-en-v1.5"


class Embedder(Protocol):
    async def embed(self, text: str, tenant: str = "") -> Embedding:
        """(384,), unit norm. tenant: whose turn it takes. Raises Overloaded where that is long."""
        ...

    @property
    def is_idle(self) -> bool:
        """Returns whether a text would be computed at once."""
        ...

    def cached(self, text: str) -> Embedding | None:
        """Returns what `embed` would give, if it need not be computed."""
        ...


class Provider(Protocol):
    """One wire protocol; serves any deployment that names it. Raises ProviderError only.

    A cancellation whose cause is a ProviderError ended a call of which nothing had been sent.
    """

    async def complete(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> Answer: ...

    def stream(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> AsyncGenerator[Delta | Unseen | Answer]:
        """Deltas and what is hidden as they come, then the whole Answer as the last item.

        Closing the iterator cancels the upstream call.
        """
        ...


@dataclass(frozen=True, slots=True)
class VerifierCase:
    """An answer to be scored. reference: what is right, where that is known. id: "" for none."""

    chat: ChatRequest
    arm: str
    answer: str
    tool_calls: tuple[ToolCall, ...] = ()
    reference: Any = None
    id: str = ""


class Verifier(Protocol):
    """Somebody else's program that can tell whether an answer is good."""

    async def verify(self, case: VerifierCase, timeout_ms: float) -> float | None:
        """Quality in [0, 1]; None where it abstains. Raises VerifierFailed."""
        ...
