"""`bench drift` on a small file: what changes is followed, what it writes, what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner, Result

from bench.drift.command import drift


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    tiny.keep_vectors()
    return tiny.write(tmp_path / "recorded.parquet", tiny.columns())


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(drift, [str(argument) for argument in arguments])


def test_a_drop_is_replayed_and_written_down(path: Path) -> None:
    asked = ("--scenario", "drop", "--feedback", "at once", "--seeds", 1, "--jobs", 1)
    done = bench("--file", path, "--arms", "small,large", *asked, "--no-blind", "--out", "out")
    assert done.exit_code == 0, done.output
    with Path("out/runs.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["scenario"] == "drop"
    assert "drop" in Path("out/drift.md").read_text()


def test_an_unknown_arm_is_named(path: Path) -> None:
    done = bench("--file", path, "--arms", "small,huge")
    assert done.exit_code == 2
    assert "huge" in done.output
