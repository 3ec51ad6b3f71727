"""The small parts: choice, replay, change detection, snapshots, settings."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest

from bandit import PolicySettings, Units, Weights
from bandit.choice import (
    AFFORDED,
    BOLD,
    LEAST_FLOOR,
    cautious,
    cold_start,
    draw_widths,
    floors,
    with_floor,
)
from bandit.errors import BadAction, BadSettings, BadWeights, CorruptSnapshot
from bandit.models.ring_buffer import OutcomeBuffer
from bandit.policies.snapshot_policy import ActionSlots
from bandit.settings import MAX_ACTIONS
from bandit.snapshots.codec import Snapshot, pack, unpack
from bandit.types import Action


@pytest.mark.parametrize(
    "module", ["bandit.context.features", "bandit.choice", "bandit.models.vowpal_wabbit"]
)
def test_the_examples_in_docstrings_hold(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("k", [1, 2, 12, 256])
def test_a_floor_leaves_a_distribution(k: int) -> None:
    certain = np.eye(k)[0]
    floored = with_floor(certain, 0.002)
    assert floored.sum() == pytest.approx(1, abs=1e-12)
    assert floored.min() >= min(0.002, 0.5 / k) - 1e-15
    assert floored[0] >= 0.5


def test_a_young_action_on_a_mature_policy_gets_a_share_not_everything() -> None:
    settled = np.array([0.1, 0.5, 0.4])
    mature = np.array([500.0, 500.0, 0.0])
    shares = cold_start(settled, mature, mature, 5, preferred=0)
    assert shares.sum() == pytest.approx(1)
    assert shares[2] == pytest.approx(0.05)
    assert shares[1] == pytest.approx(5 * shares[0])


def test_a_young_action_that_alone_seems_worth_it_gets_no_more() -> None:
    mature = np.array([500.0, 500.0, 0.0])
    shares = cold_start(np.array([0.0, 0.0, 1.0]), mature, mature, 5, preferred=None)
    assert shares == pytest.approx([0.475, 0.475, 0.05])


def test_many_young_actions_share_what_one_cold_start_may_take() -> None:
    judged = np.append(np.full(10, 100.0), np.zeros(30))
    shares = cold_start(np.eye(40)[0], judged, judged, 5, preferred=None)
    assert shares[10:].sum() == pytest.approx(0.4)
    assert shares[0] == pytest.approx(0.6)


def test_without_a_preference_the_start_is_uniform_over_the_young() -> None:
    judged = np.array([5.0, 1.0, 0.0])
    shares = cold_start(np.array([1.0, 0.0, 0.0]), judged, judged, 5, preferred=None)
    assert shares.tolist() == [0.0, 0.5, 0.5]


def test_the_buffer_keeps_the_last() -> None:
    buffer = OutcomeBuffer(width=1, capacity=3)
    for j in range(5):
        buffer.add(np.array([float(j)]), j % 4, j / 10, 1.0)
    assert len(buffer) == 3
    assert buffer.known == [0, 2, 3]
    rng = np.random.default_rng(0)
    drawn = {buffer.draw(rng)[2] for _ in range(60)}
    assert drawn == {0.2, 0.3, 0.4}
    twin = OutcomeBuffer(width=1, capacity=3)
    twin.restore(buffer.arrays(), slots=4)
    assert twin.known == buffer.known
    one, two = (b.draw(np.random.default_rng(1)) for b in (buffer, twin))
    assert one == two
    with pytest.raises(ValueError, match="range"):
        twin.restore(buffer.arrays(), slots=3)


def test_slots_are_bounded() -> None:
    slots = ActionSlots([f"a{j}" for j in range(MAX_ACTIONS)])
    assert slots.claim(Action("a7", 1.0)) == 7
    with pytest.raises(BadAction, match="at most"):
        slots.claim(Action("one more", 1.0))


def test_a_snapshot_holds_what_was_put_in() -> None:
    arrays = {"x": np.arange(6.0).reshape(2, 3), "m": np.frombuffer(b"abc", dtype=np.uint8)}
    back = unpack(pack(Snapshot("kind", {"k": [1, "two"]}, arrays)))
    assert (back.kind, back.meta) == ("kind", {"k": [1, "two"]})
    assert (back.arrays["x"] == arrays["x"]).all()
    assert back.arrays["m"].tobytes() == b"abc"
    assert pack(back) == pack(Snapshot("kind", {"k": [1, "two"]}, arrays))


def test_a_snapshot_of_objects_is_refused() -> None:
    with pytest.raises(CorruptSnapshot):
        unpack(pack(Snapshot("kind", {}, {"x": np.array(["text"])})))


@pytest.mark.parametrize(
    "bad",
    [
        {"floor": 0.0},
        {"floor": 0.9},
        {"draws": 0},
        {"scale": 0.0},
        {"scale": float("nan")},
        {"initial_pulls": -1},
        {"replay": 0},
        {"units": Units(cost_usd=0.0)},
        {"units": Units(cost_usd=1.0, latency_ms=float("inf"))},
        {"vw": frozenset({"beauty"})},
    ],
)
def test_settings_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(BadSettings):
        PolicySettings(**bad)  # type: ignore[arg-type]  # wrong on purpose


def test_weights_out_of_range_are_refused() -> None:
    with pytest.raises(BadWeights):
        PolicySettings(weights=Weights(quality=-1.0))


def test_caution_gives_way_to_evidence() -> None:
    judged = np.array([0.0, 25.0, 50.0])
    settled = np.array([0.2, 0.4, 0.4])
    assert cautious(settled, judged, 0, 50.0) == pytest.approx([0.4, 0.2, 0.4])
    assert cautious(settled, judged, 2, 50.0) == pytest.approx([0.0, 0.2, 0.8])
    assert cautious(np.array([0.0, 1.0, 0.0]), np.zeros(3), 0, 50.0).tolist() == [1.0, 0.0, 0.0]
    later = np.array([249.0, 1.0, 0.0])
    assert cautious(settled, later, 0, 50.0).tolist() == settled.tolist()


def test_a_floor_costs_the_same_however_far_behind_an_action_is() -> None:
    behind = np.array([0.0, AFFORDED, 3 * AFFORDED, 9 * AFFORDED])
    found = floors(0.001, 0.9 - behind)
    assert found[0] == pytest.approx(0.001)
    assert (found * behind)[1:] == pytest.approx(0.001 * AFFORDED)
    assert floors(0.001, np.array([0.0, -1e9]))[1] == pytest.approx(0.001 * LEAST_FLOOR)


def test_draws_start_wide_and_end_the_narrower_the_more_actions_there_are() -> None:
    few, many = np.full(5, 1e9), np.full(20, 1e9)
    assert draw_widths(0 * many) == pytest.approx(BOLD)
    assert draw_widths(few) == pytest.approx(1)
    assert draw_widths(many) == pytest.approx(0.5)
