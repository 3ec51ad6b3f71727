"""Made-up prompts: embeddings around a dozen centres, and facts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandit import PromptFacts


def embeddings(count: int, seed: int = 0, width: int = 48) -> NDArray[np.float32]:
    """Unit rows around a dozen centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(12, width))
    rows = centres[rng.integers(12, size=count)] + 0.4 * rng.normal(size=(count, width))
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1)[:, None]).astype(np.float32)
    return unit


def facts(count: int) -> list[PromptFacts]:
    return [
        PromptFacts(f"What is {j} + {j * j}?" if j % 2 else "Tell me a story") for j in range(count)
    ]
