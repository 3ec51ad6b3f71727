"""`scripts/bench overhead`, `doors`, `decide` and `traces`, short: that they measure, not what."""

from __future__ import annotations

import pytest

from bench.load import decide, doors, overhead, traces


def test_decide_prints_a_row_per_policy(capsys: pytest.CaptureFixture[str]) -> None:
    decide.run(40)
    told = capsys.readouterr().out
    assert "decide p50" in told
    for name in decide.POLICIES:
        assert name in told


@pytest.mark.usefixtures("model_dir")
@pytest.mark.slow
async def test_overhead_prints_rows_and_stages(capsys: pytest.CaptureFixture[str]) -> None:
    await overhead.run(overhead.KNOWN_PROMPTS)
    told = capsys.readouterr().out
    for name in ("upstream alone", "embedding cached", "not cached", "SERVING"):
        assert name in told
    for stage in ("embed", "decide", "call"):
        assert stage in told.partition("Where the time goes")[2]


@pytest.mark.usefixtures("model_dir")
@pytest.mark.slow
async def test_traces_prints_cpu_on_and_off(capsys: pytest.CaptureFixture[str]) -> None:
    await traces.run(20, 1.0)
    assert "of CPU a request: " in capsys.readouterr().out


@pytest.mark.usefixtures("model_dir")
@pytest.mark.slow
async def test_doors_prints_a_row_for_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "ROUNDS", 1)
    await doors.run(doors.CALLERS, None)
    told = capsys.readouterr().out
    assert "gRPC" in told
    assert "HTTP" in told
