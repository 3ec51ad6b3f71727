"""Courses by hand, figures by hand, and `bench drift` on small files."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import tiny
from click.testing import CliRunner, Result

from bench.experiments.drift.changes import ChangingStream, changing, known_scenarios, worsened
from bench.experiments.drift.command import drift
from bench.experiments.drift.replays import (
    DriftJob,
    DriftReplays,
    Feedback,
    Served,
    adaptation,
    best_arm_rewards,
    rewards,
    taken,
)
from bench.experiments.drift.report import BLIND, WATCHING, summarize
from bench.lab.jobs import Material
from bench.lab.setup import Variant
from bench.lab.streams import Stream, draw

KNOWN = known_scenarios()
WEIGHT = 0.1
AT_ONCE = Feedback("at once")


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    return tiny.stream(tiny.write(tmp_path / "a.parquet", tiny.columns()), 200)


def made(stream: Stream, name: str, seed: int = 0) -> ChangingStream:
    split = draw(stream, seed)
    return changing(KNOWN[name], stream, split, tiny.vectors(), cost_weight=WEIGHT, seed=seed)


def means(found: ChangingStream, steps: slice) -> np.ndarray:
    return found.stream.data.quality[found.rows[steps]].mean(axis=0)


LARGE = tiny.ARMS.index("large")
"""The better arm of the tiny stream, at this weight."""


def test_a_drop_begins_at_its_step_and_touches_one_arm(stream: Stream) -> None:
    found = made(stream, "drop")
    assert (found.target, found.start, found.end) == (LARGE, 80, None)
    before, after = means(found, slice(80)), means(found, slice(80, None))
    assert before[LARGE] == pytest.approx(0.9)
    assert after[LARGE] == pytest.approx(0.6)
    given = stream.data.quality[found.rows][:, 1 - LARGE]
    assert (found.stream.data.quality[found.rows][:, 1 - LARGE] == given).all()


def test_a_recovery_is_measured_from_its_end(stream: Stream) -> None:
    found = made(stream, "recovery")
    assert (found.start, found.end) == (50, 90)
    assert means(found, slice(50, 90))[LARGE] == pytest.approx(0.6)
    assert means(found, slice(90, None))[LARGE] == pytest.approx(0.9)


def test_an_outage_leaves_nothing(stream: Stream) -> None:
    assert means(made(stream, "outage"), slice(80, None))[LARGE] == 0


def test_a_price_is_known_or_silent(stream: Stream) -> None:
    known, silent = made(stream, "price"), made(stream, "silent-price")
    assert known.price_factor == known.notes["factor"] >= 4
    assert silent.price_factor == 1
    for found in (known, silent):
        dearer = found.stream.data.cost_usd[found.rows] / stream.data.cost_usd[found.rows]
        assert dearer[:80] == pytest.approx(1)
        assert dearer[80:, LARGE] == pytest.approx(found.notes["factor"])
        assert dearer[80:, 1 - LARGE] == pytest.approx(1)


def test_an_area_is_a_fifth_of_the_prompts_around_one(stream: Stream) -> None:
    found = made(stream, "area")
    assert 0.15 <= found.concerned.mean() <= 0.55  # prompts lie in two heaps
    changed = (found.stream.data.quality != stream.data.quality)[found.rows, LARGE]
    assert (changed[80:] == found.concerned[80:]).all()
    assert not changed[:80].any()


def test_right_or_wrong_stays_so() -> None:
    rng = np.random.default_rng(0)
    quality = (rng.random(4_000) < 0.8).astype(float)
    worse = worsened(quality, 0.3, rng)
    assert set(worse) == {0.0, 1.0}
    assert worse.mean() == pytest.approx(0.5, abs=0.03)
    assert (worse <= quality).all()


def test_what_a_late_arm_would_have_got_before_does_not_count(stream: Stream) -> None:
    found = made(stream, "newcomer")
    reward = rewards(found, WEIGHT)
    best = best_arm_rewards(found, reward)
    assert (best[:80] == reward[:80, 1 - LARGE]).all()
    assert (best[80:] == reward[80:, LARGE]).all()


def test_new_weights_count_from_their_step_on(stream: Stream) -> None:
    found = made(stream, "weights")
    data, share = found.stream.data, found.stream.data.cost_usd / stream.unit_usd
    reward = rewards(found, WEIGHT)
    first, last = found.rows[0], found.rows[-1]
    assert reward[0] == pytest.approx(data.quality[first] - 0.1 * share[first])
    assert reward[-1] == pytest.approx(data.quality[last] - 1.0 * share[last])


def test_goals_by_hand() -> None:
    step = np.arange(200)
    share, twin = np.where(step < 30, 1.0, 0.0), np.full(200, 0.5)
    # A window of 50 that begins at 28 holds two of the 30, 4 %.
    assert taken("left", share, share, twin) == 28
    reached = np.where(step < 30, 0.7, 1.0)
    # .3 * 8 / 50 is 4.8 %, .3 * 9 / 50 is more than 5 %.
    assert taken("back", reached, share, twin) == 22
    # 25 % takes 13 of 50, 40 % takes 20.
    late = 1.0 - share
    assert taken("found", reached, late, twin) == 0
    assert taken("found", reached, np.where(step < 100, 0.0, 1.0), twin) == 63
    assert taken("fair", reached, np.where(step < 100, 0.0, 1.0), twin) == 70
    assert taken("spared", reached, share, twin) == pytest.approx(0.15)
    assert taken("left", reached, np.ones(200), twin) == math.inf


def test_what_is_lost_is_counted_from_the_change_on(stream: Stream) -> None:
    found = made(stream, "drop")
    n = len(found.rows)
    stubborn = np.full(n, LARGE, dtype=np.int8)
    served = Served(stubborn, np.eye(2, dtype=np.float32)[stubborn])
    result = adaptation("back", found, served, WEIGHT, np.zeros(0))
    reward = rewards(found, WEIGHT)[80:]
    best = int(reward.mean(axis=0).argmax())
    assert result.lost == pytest.approx((reward[:, best] - reward[:, LARGE]).sum(), abs=1e-9)
    assert result.advantage[:80] == pytest.approx(0)
    assert result.share.tolist() == [1.0] * n


def run(
    stream: Stream, name: str, *, watching: bool = True, feedback: Feedback = AT_ONCE
) -> DriftJob:
    variant = Variant(
        WATCHING if watching else BLIND, "adaptive", vw=False, detect_changes=watching
    )
    return DriftJob(stream.spec.name, WEIGHT, 0, variant, 0, KNOWN[name], feedback)


def test_a_newcomer_is_not_called_before_it_comes(stream: Stream) -> None:
    worker = DriftReplays(Material({"tiny": stream}, {"tiny": tiny.vectors()}))
    found = worker.run(run(stream, "newcomer"))
    assert found.share[:80].tolist() == [0.0] * 80
    assert found.share[80:].min() > 0


def test_new_weights_act_at_the_first_request(stream: Stream) -> None:
    """The large arm is worth its price nowhere at ten times the weight."""
    worker = DriftReplays(Material({"tiny": stream}, {"tiny": tiny.vectors()}))
    shares = {name: worker.run(run(stream, name)).share for name in ("stationary", "weights")}
    assert (shares["weights"][:80] == shares["stationary"][:80]).all()
    assert shares["stationary"][80:90].max() > 0.9
    assert shares["weights"][80:90].max() < 0.1


def test_late_feedback_goes_on_over_the_change(stream: Stream) -> None:
    """Nothing is learned with a delay as long as the stream; waiting outcomes are not lost."""
    worker = DriftReplays(Material({"tiny": stream}, {"tiny": tiny.vectors()}))
    never = worker.run(run(stream, "outage", feedback=Feedback("never", delay=300)))
    assert np.ptp(never.share) == 0
    late = worker.run(run(stream, "outage", feedback=Feedback("late", delay=79)))
    assert np.ptp(late.share[:80]) == 0
    assert np.ptp(late.share[80:130]) > 0.5


def test_the_policy_that_watches_is_held_against_the_blind_one(stream: Stream) -> None:
    worker = DriftReplays(Material({"tiny": stream}, {"tiny": tiny.vectors()}))
    jobs = [run(stream, "stationary", watching=watching) for watching in (True, False)]
    (row,) = summarize({job: worker.run(job) for job in jobs})
    assert row.versus is not None
    assert row.versus.mean == pytest.approx(0, abs=1e-12)
    assert row.kept is True


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    tiny.keep_vectors(800)
    return tiny.write(tmp_path / "recorded.parquet", tiny.columns(800))


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(drift, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_the_table_the_runs_and_the_curves_are_written(path: Path, tmp_path: Path) -> None:
    more = ("--scenario", "drop", "--scenario", "useless", "--feedback", "at once")
    for jobs in (1, 2):
        done = bench(
            *("--file", path, "--arms", "small,large", "--requests", 400, "--seeds", 2),
            *(*more, "--blind", "--jobs", jobs, "--out", tmp_path / str(jobs)),
        )
        assert done.exit_code == 0, done.output
    out = tmp_path / "1"
    text = (out / "drift.md").read_text(encoding="utf-8")
    assert text.strip() in done.stdout
    assert "| recorded | drop: " in text
    with (out / "runs.csv").open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 2 * 2 * 2
    assert {row["policy"] for row in found} == {WATCHING, BLIND}
    assert (out / "recorded.png").read_bytes().startswith(b"\x89PNG")
    for name in ("drift.md", "runs.csv", "curves.csv"):
        assert (out / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_file_that_was_named_must_be_there(path: Path) -> None:
    done = bench("--file", path.with_name("other.parquet"), "--arms", "small,large")
    assert done.exit_code == 2
    assert "there is no file" in done.stderr
    assert "go with --file" in bench("--arms", "a,b").stderr


def test_recorded_sets_that_are_not_here_are_skipped(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTER_DATA_DIR", str(path.parent / "nowhere"))
    done = bench("--quick")
    assert done.exit_code == 0
    assert "set ROUTER_DATA_DIR" in done.stderr
