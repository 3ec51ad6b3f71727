"""The short version of `scripts/chaos learning`: real processes, real kills."""

from __future__ import annotations

import pytest

from bench.chaos.learning import run


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost_or_counted_twice() -> None:
    ran = await run(kills=6, seed=3)
    assert ran.kills.total() == 6
    assert ran.verdict.decisions > 0
    assert ran.verdict.kept, ran.verdict
