"""A replay's context map knows nothing of its stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny

from bandit import ContextMap
from bandit.context.fitting import MIN_PROMPTS
from bench.lab.embeddings import ContextMaps, fitted_rows
from bench.lab.streams import Split, Stream, draw

ROWS = 2 * MIN_PROMPTS + 100


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    columns = tiny.columns(ROWS)
    return tiny.stream(tiny.write(tmp_path / "a.parquet", columns), ROWS - MIN_PROMPTS)


def vectors() -> np.ndarray:
    split = np.random.default_rng(5).normal(size=(ROWS, 384)).astype(np.float32)
    return split / np.linalg.norm(split, axis=1, keepdims=True)


def test_the_streams_own_prompts_change_nothing(stream: Stream) -> None:
    split, given = draw(stream, 0), vectors()
    assert set(split.rows) & set(fitted_rows(split, shipped=False)) == set()
    made = ContextMaps(shipped=False).of(stream, split, given, 0).map
    assert made.version != ContextMap.default().version
    given[split.rows] = 0
    assert ContextMaps(shipped=False).of(stream, split, given, 0).map.version == made.version
    given[split.held_out] = given[split.held_out[::-1]]
    assert ContextMaps(shipped=False).of(stream, split, given, 0).map.version != made.version


def test_too_few_prompts_beside_it_leave_the_shipped_map(stream: Stream) -> None:
    split, shipped = draw(stream, 0), ContextMap.default().version
    few = Split(split.rows, split.held_out[: MIN_PROMPTS - 1])
    assert ContextMaps(shipped=False).of(stream, few, vectors(), 0).map.version == shipped
    assert ContextMaps(shipped=True).of(stream, split, vectors(), 0).map.version == shipped


def test_jobs_of_one_seed_share_their_contexts(stream: Stream) -> None:
    maps, split, given = ContextMaps(shipped=True), draw(stream, 0), vectors()
    first = maps.of(stream, split, given, 0)
    assert maps.of(stream, split, given, 0) is first
    for seed in (1, 2):
        assert maps.of(stream, split, given, seed) is not first
    assert maps.of(stream, split, given, 0) is not first
