"""A small recorded set in which one kind of prompt needs the dear arm, and its embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bandit import ContextMap
from bench.lab.embeddings import default_cache, key_of, save
from bench.lab.streams import Stream, StreamSpec, load

ROWS = 320
ARMS = ("small", "large")


def columns(rows: int = ROWS, seed: int = 0) -> dict[str, list[Any]]:
    """Every second prompt is hard: the small arm then fails, the large one never does."""
    rng = np.random.default_rng(seed)
    hard = np.arange(rows) % 2 == 1
    return {
        "prompt": [f"hard prompt {i}?" if h else f"easy prompt {i}" for i, h in enumerate(hard)],
        "kind": ["hard" if h else "easy" for h in hard],
        "fold": [i % 4 for i in range(rows)],
        "q_small": np.where(hard, 0.1, 0.9).tolist(),
        "c_small": (1e-4 * rng.lognormal(0, 0.3, rows)).tolist(),
        "q_large": np.full(rows, 0.9).tolist(),
        "c_large": (2e-3 * rng.lognormal(0, 0.3, rows)).tolist(),
    }


def write(path: Path, found: Mapping[str, list[Any]]) -> Path:
    pq.write_table(pa.table(dict(found)), path)
    return path


def vectors(rows: int = ROWS) -> NDArray[np.float32]:
    """Easy prompts near one centre of the shipped map, hard ones near another; unit norm."""
    rng = np.random.default_rng(1)
    centres = ContextMap.default().centroids[[3, 20]]
    near = centres[np.arange(rows) % 2] + 0.01 * rng.normal(size=(rows, centres.shape[1]))
    unit: NDArray[np.float32] = near / np.linalg.norm(near, axis=1, keepdims=True)
    return unit.astype(np.float32)


def keep_vectors(rows: int = ROWS) -> None:
    """Put them into the cache, where the command looks for them."""
    keys = (key_of(prompt) for prompt in columns(rows)["prompt"])
    save(default_cache(), dict(zip(keys, vectors(rows), strict=True)))


def stream(path: Path, requests: int | None = None, **changed: Any) -> Stream:
    return load(StreamSpec("tiny", path, ARMS, requests=requests, **changed))
