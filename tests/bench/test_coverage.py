"""Evaluations of logs whose truth is known, and that `bench coverage` counts them."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner

from bench.experiments.coverage import CoverageReplays, CoverageResult, coverage, markdown
from bench.lab.jobs import Job, Material, ReplayTerms
from bench.lab.setup import Variant

SERVED = Variant("bold", "adaptive", vw=False, options={"exploration_floor": 0.05})
KEY = ("s", "adaptive", "fixed:a", "gain")


@pytest.mark.slow
def test_the_truth_is_what_was_recorded(tmp_path: Path) -> None:
    stream = tiny.stream(tiny.write(tmp_path / "a.parquet", tiny.columns(900)), 800)
    material = Material(
        {"tiny": stream}, {"tiny": tiny.vectors(900)}, ReplayTerms(shipped_map=True)
    )
    found = CoverageReplays(material).run(Job("tiny", 0.1, 0, SERVED, 0))
    by_key = {one.key: one for one in found}
    assert len(by_key) == 8
    large = by_key["tiny", SERVED.name, "fixed:large", "value"]
    assert large.truth == pytest.approx(0.8, abs=0.01)  # 0.9 less a tenth of about one unit
    assert large.interval is not None
    assert large.interval[0] <= large.truth <= large.interval[1]
    assert by_key["tiny", SERVED.name, "fixed:small", "gain"].truth < 0


def test_too_few_that_cover_stand_out_and_none_given_is_said() -> None:
    held = CoverageResult(KEY, 0.1, 0.1, 40, (0.0, 0.2))
    missed = CoverageResult(KEY, 0.3, 0.1, 40, (0.0, 0.2))
    untold = CoverageResult(KEY, 0.3, 0.1, 4)
    row = "| s | adaptive | fixed:a | gain |"
    assert f"{row} 67% | **50.0%** | 0.1000 |" in markdown([held, missed, untold], 3)
    assert f"{row} 100% | 100.0% | 0.1000 | +0.0000 | 40 |" in markdown([held], 1)
    assert f"{row} 0% |  |  | -0.2000 | 4 |" in markdown([untold], 1)


def test_sets_that_are_not_here_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTER_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(coverage, ["--quick"])
    assert done.exit_code == 0
    assert "skipped routellm_pair-3000" in done.stderr
    assert not list(tmp_path.iterdir())
