"""Commands that only read, where nothing was ever stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from router.cli import main

READERS = [
    ("tenant", "list"),
    ("tenant", "show", "x"),
    ("policy", "list"),
    ("explain", "x"),
    ("map", "--out", "map.html"),
    ("log", "export", "--out", "log"),
    ("learner", "replay"),
    ("evaluate", "--policy", "linucb"),
]


@pytest.fixture
def unbegun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_config: Callable[[str], Path]
) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_config("")


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--config", str(config)])


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_reading_commands_refuse_an_empty_store_without_creating_it(
    unbegun: Path, words: tuple[str, ...]
) -> None:
    result = run(unbegun, *words)
    assert result.exit_code == 1
    assert "nothing was stored in" in result.stderr
    assert "redis.url" in result.stderr
    assert not (unbegun.parent / "redis").exists()


def test_replay_of_an_archive_needs_no_store(unbegun: Path) -> None:
    archive = unbegun.parent / "log"
    archive.mkdir()
    result = run(unbegun, "learner", "replay", "--log", str(archive))
    assert result.exit_code == 0, result.output
    assert "0 events" in result.output
