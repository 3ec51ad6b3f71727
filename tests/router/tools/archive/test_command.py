"""`log export`, `log verify` and `explain` against a real Redis."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from router.app.process import opened_storage
from router.cli import main
from router.config import load_config
from router.domain.records import CacheStatus, FeedbackReport, new_decision_id, session_digest
from tests.contract.samples import RECORD

SESSION = session_digest("acme", "s")


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def written(config: Path) -> Path:
    async def write() -> None:
        async with opened_storage(load_config(config, {}), {}) as storage:
            now_ms = int(time.time() * 1_000)
            await storage.decisions.record(replace(RECORD, created_ms=now_ms))
            cached = replace(RECORD, id="c-1", choice=None, attempts=(), cache=CacheStatus.EXACT)
            await storage.decisions.record(cached)
            await storage.decisions.feedback("acme", "d-1", FeedbackReport(quality=0.75))
            turn = replace(RECORD, created_ms=now_ms, session_id=SESSION)
            for n in range(3):
                await storage.decisions.record(replace(turn, id=f"s-{n}"))
            told = FeedbackReport(quality=0.5)
            await storage.decisions.session_feedback("acme", SESSION, told)

    asyncio.run(write())
    return config


def test_log_verify_accepts_an_export(written: Path, tmp_path: Path) -> None:
    out = tmp_path / "archive"
    done = run("log", "export", "--config", written, "--out", out)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "8 events in 1 new files" in done.stdout
    checked = run("log", "verify", out)
    assert checked.exit_code == 0
    assert "1 files, 8 events, 0 missing: whole" in checked.stdout
    told = json.loads(run("log", "verify", out, "--json").stdout)
    assert list(told) == ["files", "events", "missing", "chain"]
    assert (told["files"], told["events"], told["missing"]) == (1, 8, 0)
    assert told["chain"] in checked.stdout
    next(out.glob("*.parquet")).write_bytes(b"")
    broken = run("log", "verify", out)
    assert broken.exit_code == 1
    assert "changed since it was written" in broken.stderr


def test_explain_shows_estimates_attempts_and_feedback(written: Path) -> None:
    shown = run("explain", "d-1", "--config", written)
    assert shown.exit_code == 0
    for words in (
        "plan cheap with probability 0.750, the best by expectation",
        "policy default, snapshot 3, map v1",
        "passed",
        "paid $0.000500 · feedback: quality 0.75",
        "saved $0.019500 against reasoning",
        "not in a snapshot yet",
    ):
        assert words in shown.stdout
    cached = run("explain", "c-1", "--config", written)
    assert "answered from the cache (exact): nothing was decided" in cached.stdout


@pytest.mark.parametrize(
    ("locked", "why"),
    [
        (True, "d1 had asked for the tools whose results it was sent: nothing was decided"),
        (False, "no plan could be chosen: nothing was decided"),
    ],
)
def test_explain_tells_why_nothing_was_decided(config: Path, *, locked: bool, why: str) -> None:
    async def write() -> None:
        async with opened_storage(load_config(config, {}), {}) as storage:
            await storage.decisions.record(replace(RECORD, choice=None, locked=locked))

    asyncio.run(write())
    assert why in run("explain", RECORD.id, "--config", config).stdout


def test_explain_knows_an_id_in_other_forms(config: Path) -> None:
    made = new_decision_id(1_700_000_000_000, 0xABCDEF)

    async def write() -> None:
        async with opened_storage(load_config(config, {}), {}) as storage:
            await storage.decisions.record(replace(RECORD, id=made))

    asyncio.run(write())
    for told in (made, made.upper(), str(UUID(made))):
        shown = run("explain", told, "--config", config, "--json")
        assert json.loads(shown.stdout)["decision_id"] == made


def test_explain_shows_the_parts_of_the_tokens(config: Path) -> None:
    attempt = replace(
        RECORD.attempts[-1],
        input_tokens=4_321,
        cached_tokens=3_210,
        written_tokens=987,
        output_tokens=654,
        reasoning_tokens=543,
    )

    async def write() -> None:
        async with opened_storage(load_config(config, {}), {}) as storage:
            await storage.decisions.record(replace(RECORD, attempts=(attempt,)))

    asyncio.run(write())
    shown = run("explain", RECORD.id, "--config", config).stdout.split()
    for number in ("4321", "3210", "987", "654", "543"):
        assert number in shown


def test_explain_tells_feedback_of_the_session_from_its_own(written: Path) -> None:
    shown = run("explain", "s-1", "--config", written)
    assert "feedback: quality 0.5, of its whole session (weight 0.333)" in shown.stdout


def test_a_receipt_as_json(written: Path) -> None:
    told = json.loads(run("explain", "d-1", "--config", written, "--json").stdout)
    assert list(told) == [
        *("decision_id", "at", "tenant", "mode", "cache", "answered", "locked", "arm"),
        *("deployment", "plan", "probability", "explored", "policy", "snapshot_version"),
        *("options", "attempts", "cost_usd", "saved_usd", "saved_against"),
        *("feedback_quality", "learned_by"),
    ]
    assert (told["decision_id"], told["plan"], told["probability"]) == ("d-1", "cheap", 0.75)
    assert (told["feedback_quality"], told["learned_by"]) == (0.75, None)
    assert set(told["options"][0]) == {"plan", "probability", "quality", "cost_usd", "utility"}
    assert sum(each["cost_usd"] for each in told["attempts"]) == told["cost_usd"] == 0.0005
    cached = json.loads(run("explain", "c-1", "--config", written, "--json").stdout)
    assert (cached["plan"], cached["options"], cached["cache"]) == (None, [], "exact")


def test_explain_reports_an_unknown_decision(written: Path) -> None:
    shown = run("explain", "nobody", "--config", written)
    assert shown.exit_code == 1
    assert "no decision has this id" in shown.stderr
