"""A replay's context map knows nothing of its stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny

from bandit import ContextMap
from bandit.context.fitting import MIN_PROMPTS
from bench.routing.maps import Maps, fitted_rows
from bench.routing.streams import Drawn, Stream, draw

ROWS = 2 * MIN_PROMPTS + 100


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    columns = tiny.columns(ROWS)
    return tiny.stream(tiny.write(tmp_path / "a.parquet", columns), ROWS - MIN_PROMPTS)


def vectors() -> np.ndarray:
    drawn = np.random.default_rng(5).normal(size=(ROWS, 384)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.slow
def test_the_streams_own_prompts_change_nothing(stream: Stream) -> None:
    drawn, given = draw(stream, 0), vectors()
    assert set(drawn.rows) & set(fitted_rows(drawn, shipped=False)) == set()
    made = Maps(shipped=False).of(stream, drawn, given, 0).map
    assert made.version != ContextMap.default().version
    given[drawn.rows] = 0
    assert Maps(shipped=False).of(stream, drawn, given, 0).map.version == made.version
    given[drawn.aside] = given[drawn.aside[::-1]]
    assert Maps(shipped=False).of(stream, drawn, given, 0).map.version != made.version


def test_too_few_prompts_beside_it_leave_the_shipped_map(stream: Stream) -> None:
    drawn, shipped = draw(stream, 0), ContextMap.default().version
    few = Drawn(drawn.rows, drawn.aside[: MIN_PROMPTS - 1])
    assert Maps(shipped=False).of(stream, few, vectors(), 0).map.version == shipped
    assert Maps(shipped=True).of(stream, drawn, vectors(), 0).map.version == shipped


def test_jobs_of_one_seed_share_their_contexts(stream: Stream) -> None:
    maps, drawn, given = Maps(shipped=True), draw(stream, 0), vectors()
    first = maps.of(stream, drawn, given, 0)
    assert maps.of(stream, drawn, given, 0) is first
    for seed in (1, 2):
        assert maps.of(stream, drawn, given, seed) is not first
    assert maps.of(stream, drawn, given, 0) is not first
