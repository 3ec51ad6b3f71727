"""`evaluate` on a real event stream and on its archive."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bandit import ContextMap, PromptFacts
from router.app.process import opened_storage
from router.cli import main
from router.config import load_config
from router.domain.logged_context import log_context
from router.domain.records import FeedbackReport
from tests.contract.samples import CHOICE, RECORD

N = 120


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def written(config: Path) -> Path:
    """Both plans were taken as often; a cheap answer is never good."""
    context_map = ContextMap.default()
    embedding = np.eye(1, 384, dtype=np.float32)[0]
    context = log_context(context_map.build(embedding, PromptFacts("two words")))

    async def write() -> None:
        async with opened_storage(load_config(config, {}), {}) as storage:
            for n in range(N):
                plan = ("cheap", "reasoning")[n % 2]
                shares = (("cheap", 0.5), ("reasoning", 0.5))
                choice = replace(
                    CHOICE, plan=plan, propensity=0.5, probabilities=shares, context=context
                )
                record = replace(
                    RECORD,
                    id=f"d-{n}",
                    created_ms=int(time.time() * 1_000),
                    choice=choice,
                    attempts=(replace(RECORD.attempts[0], arm=plan),),
                    arm=plan,
                )
                await storage.decisions.record(record)
                told = FeedbackReport(quality=float(n % 2))
                await storage.decisions.feedback("acme", record.id, told)

    asyncio.run(write())
    return config


def test_evaluate_finds_the_better_plan_in_store_and_archive(written: Path, tmp_path: Path) -> None:
    asked = ("evaluate", "--config", written, "--policy", "fixed:reasoning")
    report = tmp_path / "figures.json"
    from_store = run(*asked, "--out", report)
    assert from_store.exit_code == 0, from_store.output
    assert f"{N} of {N} decisions" in from_store.stdout
    assert "fixed:reasoning against logged: better by at least" in from_store.stdout
    assert json.loads(report.read_text())["gain"]["mean"] > 0.4
    out = tmp_path / "archive"
    assert run("log", "export", "--config", written, "--out", out).exit_code == 0
    assert run(*asked, "--log", out).stdout == from_store.stdout


def test_the_figures_are_printed_or_written_as_json(written: Path, tmp_path: Path) -> None:
    asked = ("evaluate", "--config", written)
    wanted = ("--policy", "fixed:reasoning")
    printed = run(*asked, "--json", *wanted)
    assert printed.exit_code == 0, printed.output
    (line,) = printed.stdout.splitlines()
    found = json.loads(line)
    assert (found["policy"], found["against"], found["counted"]) == ("fixed:reasoning", "logged", N)
    both, earlier = tmp_path / "both.json", tmp_path / "earlier.json"
    assert run(*asked, *wanted, "--out", both, "--json").stdout == printed.stdout
    in_words = run(*asked, *wanted, "--json", earlier)
    assert "better by at least" in in_words.stdout
    assert json.loads(both.read_text()) == json.loads(earlier.read_text()) == found


def test_evaluate_replays_a_policy_by_its_name(written: Path) -> None:
    asked = ("evaluate", "--config", written, "--policy", "thompson", "--against", "fixed:cheap")
    done = run(*asked)
    assert done.exit_code == 0, done.output
    assert "thompson against fixed:cheap: better by at least" in done.stdout


def test_evaluate_refuses_a_log_of_another_context_map(config: Path) -> None:
    async def write() -> None:
        async with opened_storage(load_config(config, {}), {}) as storage:
            await storage.decisions.record(replace(RECORD, created_ms=int(time.time() * 1_000)))
            await storage.decisions.feedback("acme", RECORD.id, FeedbackReport(quality=1.0))

    asyncio.run(write())
    done = run("evaluate", "--config", config, "--policy", "linucb")
    assert done.exit_code == 1
    assert "context map" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--policy", "best"), "no policy 'best'"),
        (("--policy", "fixed:nobody"), "no plan 'nobody'"),
        (("--policy", "logged", "--since", "2999-01-01"), "no decision in the log has feedback"),
    ],
)
def test_evaluate_says_why_there_is_nothing_to_evaluate(
    written: Path, words: tuple[str, ...], says: str
) -> None:
    done = run("evaluate", "--config", written, *words)
    assert done.exit_code == 1
    assert says in done.stderr
    assert "Traceback" not in done.output
