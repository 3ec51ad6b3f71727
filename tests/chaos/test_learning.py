"""The short version of `scripts/chaos learning`: real processes, real kills."""

from __future__ import annotations

import pytest

from bench.chaos.learning import run


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost_or_counted_twice() -> None:
    killed, verdict = await run(kills=6, seed=3)
    assert killed.total() == 6
    assert verdict.decisions > 0
    assert verdict.kept, verdict
