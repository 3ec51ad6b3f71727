"""`map` and `map refit`: files out, and one clean line for each mistake."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bandit import ContextMap
from bandit.context.remap import Refit
from bandit.types import PromptFacts
from router.adapters.storage import Storage
from router.app.process import opened_storage
from router.cli import main
from router.config import Config, load_config
from router.domain.events import Decided
from router.domain.logged_context import log_context
from router.domain.records import Attempt, AttemptOutcome, Choice, DecisionRecord, Mode, WeightSet
from router.ports.state import StoredSnapshot
from router.ports.survey import EmbeddingSample
from router.tools.map import refit as refitting

SHIPPED = ContextMap.default()
ROWS = np.random.default_rng(0).normal(size=(300, 384)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1)[:, None]


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["map", *words])


def stored(config: Path, use: Callable[[Storage], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with opened_storage(load_config(config, os.environ), os.environ) as storage:
            await use(storage)

    asyncio.run(opened())


async def filled(storage: Storage) -> None:
    """Samples enough for a fit, and decisions on alike prompts."""
    for n, row in enumerate(ROWS):
        sample = EmbeddingSample.of(SHIPPED.version, row, [0.1] * SHIPPED.shape.features)
        await storage.survey.keep_embedding(sample, len(ROWS), (n + 0.5) / len(ROWS))
    for n, row in enumerate(ROWS[:40]):
        await storage.decisions.record(decision(n, row))


async def published(storage: Storage, snapshot: StoredSnapshot) -> None:
    fence = await storage.lease.acquire("test", 60_000)
    assert fence is not None
    await storage.snapshots.publish(snapshot, fence)
    await storage.lease.release("test")


def decision(n: int, row: np.ndarray) -> DecisionRecord:
    plan = "reasoning" if n % 2 else "cheap"
    context = log_context(SHIPPED.build(row, PromptFacts("What is it?")))
    weights = WeightSet(1.0, 0.1, 0.0, 0.5)
    choice = Choice(plan, 0.5, n == 0, ((plan, 0.5),), "adaptive", 1, weights, context)
    attempt = Attempt(plan, plan, plan, AttemptOutcome.ACCEPTED, "", 100.0, cost_usd=0.001)
    return DecisionRecord(
        f"d-{n}", "t", n, Mode.COMPLETE, choice=choice, attempts=(attempt,), arm=plan
    )


def test_a_map_without_requests_says_so(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.html"
    result = run("--config", str(config), "--out", str(out))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "32 regions, 0 requests, 0 outcomes learned" in result.stdout
    assert "note: No request is on record" in result.stdout
    assert out.read_text().startswith("<!doctype html>")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_refit_writes_a_map_trains_a_snapshot_and_can_be_drawn(
    config: Path, tmp_path: Path
) -> None:
    stored(config, filled)
    made, snapshot, out = tmp_path / "c.npz", tmp_path / "s.bin", tmp_path / "map.html"
    words = ("--config", str(config), "--out", str(made))
    result = run("refit", *words, "--snapshot", str(snapshot))
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"from 300 samples; reads decisions of: {SHIPPED.version}" in result.stdout
    assert "40 outcomes taught, 0 decisions passed over" in result.stdout
    config.write_text(config.read_text() + f"policy: {{context_map: {made}}}\n")
    drawn = run("--config", str(config), "--out", str(out), "--snapshot", str(snapshot))
    assert (drawn.exit_code, drawn.stderr) == (0, "")
    assert "32 regions, 0 requests, 40 outcomes learned" in drawn.stdout
    assert Refit.load(made).map.version in out.read_text()


def test_a_new_map_shows_decisions_of_the_map_before(config: Path, tmp_path: Path) -> None:
    stored(config, filled)
    made, out = tmp_path / "c.npz", tmp_path / "map.html"
    result = run("refit", "--config", str(config), "--out", str(made), "--publish")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "published as snapshot 1" in result.stdout
    config.write_text(config.read_text() + f"policy: {{context_map: {made}}}\n")
    drawn = run("--config", str(config), "--out", str(out))
    assert (drawn.exit_code, drawn.stderr) == (0, "")
    assert "32 regions, 40 requests, 40 outcomes learned" in drawn.stdout
    assert "another context map" not in drawn.stdout


class Served:
    """Kept decisions, with one that is made while they are read."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def each(self, most: int) -> AsyncIterator[DecisionRecord]:
        await self._storage.decisions.record(decision(40, ROWS[40]))
        async for record in self._storage.kept.each(most):
            yield record


@pytest.mark.parametrize("learned", [None, "0-10"])
def test_events_that_a_refit_taught_are_not_learned_again(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learned: str | None
) -> None:
    async def begun(storage: Storage) -> None:
        await filled(storage)
        if learned is not None:
            await published(storage, StoredSnapshot(1, learned, b"nothing"))

    @asynccontextmanager
    async def served(
        config: Config, env: Mapping[str, str], *, begun: bool
    ) -> AsyncIterator[Storage]:
        async with opened_storage(config, env, begun=begun) as storage:
            yield replace(storage, kept=Served(storage))

    async def left(storage: Storage) -> None:
        snapshot = await storage.snapshots.load()
        assert snapshot is not None
        (entry,) = await storage.events.read(snapshot.position, 100, 0)
        assert entry[1] == Decided(decision(40, ROWS[40]))

    stored(config, begun)
    monkeypatch.setattr(refitting, "opened_storage", served)
    result = run("refit", "--config", str(config), "--out", str(tmp_path / "c.npz"), "--publish")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "40 outcomes taught, 0 decisions passed over" in result.stdout
    stored(config, left)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing option '--config'"),
        (("--config", "{config}"), "Missing option '--out'"),
        (("refit", "--config", "{config}"), "Missing option '--out'"),
        (
            ("refit", "--config", "{config}", "--out", "x", "--snapshot", "y", "--publish"),
            "choose either --snapshot or --publish",
        ),
        (("--config", "{config}", "--out", "x", "--most", "-1"), "--most"),
    ],
)
def test_map_reports_wrong_usage(config: Path, words: tuple[str, ...], said: str) -> None:
    result = run(*(word.format(config=config) for word in words))
    assert result.exit_code == 2
    assert said in result.stderr


def test_refit_with_too_few_samples_says_what_to_set(config: Path, tmp_path: Path) -> None:
    result = run("refit", "--config", str(config), "--out", str(tmp_path / "c.npz"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("0 sampled embeddings are too few, 256 are needed")
    assert not (tmp_path / "c.npz").exists()


@pytest.mark.parametrize("content", [None, b"", b"\x00" * 100])
def test_map_refuses_a_file_that_is_no_snapshot(
    config: Path, tmp_path: Path, content: bytes | None
) -> None:
    snapshot = tmp_path / "s.bin"
    if content is not None:
        snapshot.write_bytes(content)
    out = tmp_path / "map.html"
    result = run("--config", str(config), "--out", str(out), "--snapshot", str(snapshot))
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_map_refuses_a_damaged_stored_snapshot(config: Path, tmp_path: Path) -> None:
    async def damaged(storage: Storage) -> None:
        await published(storage, StoredSnapshot(1, "0-0", b"nothing"))

    stored(config, damaged)
    result = run("--config", str(config), "--out", str(tmp_path / "map.html"))
    assert result.exit_code == 1
    assert result.stderr.startswith("the snapshot does not fit this config")


def test_map_reports_a_missing_folder_in_one_line(config: Path, tmp_path: Path) -> None:
    result = run("--config", str(config), "--out", str(tmp_path / "no" / "map.html"))
    assert result.exit_code == 1
    assert result.stderr.endswith("in a folder that exists\n")


def test_refit_publishes_nothing_while_a_learner_is_at_work(config: Path, tmp_path: Path) -> None:
    async def learning(storage: Storage) -> None:
        await storage.lease.acquire("learner", 60_000)

    stored(config, learning)
    words = ("--config", str(config), "--out", str(tmp_path / "c.npz"), "--publish")
    result = run("refit", *words)
    assert result.exit_code == 1
    assert result.stderr.startswith("a learner is at work")


def test_map_notes_decisions_of_an_unknown_map(config: Path, tmp_path: Path) -> None:
    async def strange(storage: Storage) -> None:
        record = decision(0, ROWS[0])
        assert record.choice is not None
        context = replace(record.choice.context, version="unknown")
        await storage.decisions.record(
            replace(record, choice=replace(record.choice, context=context))
        )

    stored(config, strange)
    result = run("--config", str(config), "--out", str(tmp_path / "map.html"))
    assert "note: 1 requests on record belong to another context map" in result.stdout
