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


def test_calibrate_reports_every_mistake_in_the_prompts_on_stderr(
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
def test_calibrate_refuses_a_wrong_option_first(
    write_config: Write, prompts: Path, words: tuple[str, ...], complaint: str
) -> None:
    result = run(prompts, write_config(""), *words)
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.split())
    assert not prompts.with_name("prompts.jsonl.calibration").exists()


def test_calibrate_reports_a_wrong_config(write_config: Write, prompts: Path) -> None:
    config = write_config("polcy: {}\n")
    result = run(prompts, config)
    assert result.exit_code == 1
    assert "polcy: no such key: did you mean policy?" in result.stderr


def test_calibrate_refuses_an_unwritable_report_before_paying(
    write_config: Write, prompts: Path, tmp_path: Path
) -> None:
    result = run(prompts, write_config(""), "--report", str(tmp_path / "none" / "report.md"))
    assert result.exit_code == 1
    assert "in a folder that exists" in result.stderr
    assert not prompts.with_name("prompts.jsonl.calibration").exists()


def test_calibrate_refuses_an_unreachable_store_before_paying(
    write_config: Write, prompts: Path
) -> None:
    config = write_config("")
    text = config.read_text().replace("redis: {", "redis: {url: 'redis://127.0.0.1:9', ")
    config.write_text(text)
    result = run(prompts, config)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert not prompts.with_name("prompts.jsonl.calibration").exists()


def test_calibrate_without_any_provider_costs_nothing_and_publishes_nothing(
    write_config: Write, prompts: Path, tmp_path: Path, model_dir: Path
) -> None:
    assert model_dir
    out = tmp_path / "snapshot.bin"
    result = run(prompts, write_config(""), "--out", str(out))
    assert result.exit_code == 1
    assert "no answer has a score" in result.stderr
    assert "Traceback" not in result.stderr
    assert not out.exists()
