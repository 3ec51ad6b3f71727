"""Recorded answers at the product's ports."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.cascade.answers import Answers
from bench.routing.embedded import key_of
from bench.routing.provider import RecordedProvider
from router.domain.catalog import Deployment
from router.domain.chat import Answer, ChatRequest, Delta

Vectors = Mapping[bytes, NDArray[np.float32]]


class AnsweringProvider:
    """A `RecordedProvider` that says what was said. answers: empty where none were recorded."""

    def __init__(self, outcomes: RecordedProvider, answers: Answers) -> None:
        self._outcomes = outcomes
        self._answers = answers

    async def complete(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> Answer:
        answer = await self._outcomes.complete(deployment, request, timeout_ms)
        said = self._answers.get(deployment.model)
        row = request.sampling.seed
        return answer if said is None or row is None else replace(answer, text=said[row])

    async def stream(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> AsyncGenerator[Delta | Answer]:
        yield await self.complete(deployment, request, timeout_ms)


class KnownTexts:
    """Implements the embedder's `embed` for texts embedded beforehand."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    async def embed(self, text: str) -> NDArray[np.float32]:
        """Raises KeyError for any other text: the replay would not be the service's."""
        return self._vectors[key_of(text)]
