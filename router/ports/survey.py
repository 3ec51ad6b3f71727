"""The survey keeps counted terms and small samples of prompts for the map.

A word is counted for a cluster once it has come from five different prompts of that cluster;
until then the store holds a hash of it and which of 32 groups of prompts it came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from router.ports.upstream import Embedding

LEAST_PROMPTS: Final = 5
GROUPS: Final = 32
"""Groups of prompts by hash: words of one prompt sent again and again stay in one group."""
_STEPS: Final = 127


@dataclass(frozen=True, slots=True)
class Sighting:
    """The terms of one prompt. group: of the prompt, below `GROUPS`."""

    version: str
    cluster: int
    group: int
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EmbeddingSample:
    """One prompt's embedding in whole steps of `step`, (d,) int8, and the features of its context.

    Against the float32 vector: a quarter of its bytes, and cosines that differ by about 1e-4.
    """

    version: str
    step: float
    vector: bytes = field(repr=False)
    features: tuple[float, ...]

    @staticmethod
    def of(version: str, embedding: Embedding, features: Sequence[float]) -> EmbeddingSample:
        step = max(float(np.abs(embedding).max(initial=0.0)) / _STEPS, 1e-9)
        vector = np.rint(embedding / step).astype(np.int8).tobytes()
        return EmbeddingSample(version, step, vector, tuple(features))

    def embedding(self) -> Embedding:
        return np.frombuffer(self.vector, dtype=np.int8).astype(np.float32) * np.float32(self.step)


@dataclass(frozen=True, slots=True)
class PromptSample:
    """The beginning of one prompt, where the operator wants that."""

    version: str
    cluster: int
    head: str = field(repr=False)


class Survey(Protocol):
    """Samples are bounded, old ones make room at random, and none outlives the decisions."""

    async def count(self, sighting: Sighting) -> None: ...

    async def terms(self, version: str, clusters: int) -> Mapping[int, Mapping[str, int]]:
        """Returns each term's number of sightings by cluster; only what enough prompts held."""
        ...

    async def keep_embedding(self, sample: EmbeddingSample, most: int, draw: float) -> None:
        """Keep a sample. draw: in [0, 1), which of the `most` places it takes."""
        ...

    async def keep_prompt(self, sample: PromptSample, most: int, draw: float) -> None: ...

    async def embeddings(self) -> Sequence[EmbeddingSample]: ...

    async def prompts(self) -> Sequence[PromptSample]: ...
