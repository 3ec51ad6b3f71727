"""`calibrate` given something wrong: one clean line a mistake, and nothing is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from router.cli import main

Write = Callable[[str], Path]


def run(prompts: Path, config: Path, *words: str) -> Result:
    budget = () if "--budget-usd" in words else ("--budget-usd", "1")
    command = ["calibrate", str(prompts), "--config", str(config), *budget, *words]
    return CliRunner().invoke(main, command)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "2+2?", "reference": 4}\n')
    return path


def test_every_mistake_in_the_prompts_is_a_line_on_stderr(
    write_config: Write, prompts: Path
) -> None:
    prompts.write_text('{"promt": "a"}\n{"prompt": "b"}\n\n{"prompt": 1}\n')
    result = run(prompts, write_config(""))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"{prompts}:1: write either prompt (a text) or messages (a chat)",
        f"{prompts}:1: promt: no such key: did you mean prompt?",
        f"{prompts}:4: prompt: write some text",
    ]
    assert not prompts.with_name("prompts.jsonl.calibration").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--budget-usd", "0"), "not in the range"),
        (("--budget-usd", "nan"), "finite number"),
        (("--budget-usd", "inf"), "finite number"),
        (("--judge", "nobody"), "name one of cheap, reasoning"),
        (("--judge", "cheap", "--verifier", "http://127.0.0.1:9"), "either --verifier or --judge"),
        (("--verifier", "file:///etc/passwd"), "starts with http"),
        (("--concurrency", "0"), "not in the range"),
        (("--match", "fuzzy"), "is not one of"),
    ],
)
def test_a_wrong_word_is_refused_before_anything_is_done(
    write_config: Write, prompts: Path, words: tuple[str, ...], complaint: str
) -> None:
    result = run(prompts, write_config(""), *words)
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.split())
    assert not prompts.with_name("prompts.jsonl.calibration").exists()


def test_a_config_that_is_wrong_is_told_like_anywhere(write_config: Write, prompts: Path) -> None:
    config = write_config("polcy: {}\n")
    result = run(prompts, config)
    assert result.exit_code == 1
    assert "polcy: no such key: did you mean policy?" in result.stderr


def test_a_report_that_can_not_be_written_is_told_before_anything_is_paid(
    write_config: Write, prompts: Path, tmp_path: Path
) -> None:
    result = run(prompts, write_config(""), "--report", str(tmp_path / "none" / "report.md"))
    assert result.exit_code == 1
    assert "in a folder that exists" in result.stderr
    assert not prompts.with_name("prompts.jsonl.calibration").exists()


def test_a_redis_that_is_away_is_told_before_anything_is_paid(
    write_config: Write, prompts: Path
) -> None:
    config = write_config("")
    text = config.read_text().replace("redis: {", "redis: {url: 'redis://127.0.0.1:9', ")
    config.write_text(text)
    result = run(prompts, config)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert not prompts.with_name("prompts.jsonl.calibration").exists()


def test_providers_that_are_all_away_cost_nothing_and_leave_no_snapshot(
    write_config: Write, prompts: Path, tmp_path: Path, model_dir: Path
) -> None:
    assert model_dir
    out = tmp_path / "snapshot.bin"
    result = run(prompts, write_config(""), "--out", str(out))
    assert result.exit_code == 1
    assert "no answer has a score" in result.stderr
    assert "Traceback" not in result.stderr
    assert not out.exists()
