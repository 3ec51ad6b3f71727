"""Values of another policy: right on average, honest about what the log cannot say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit.errors import BadInput
from bandit.offpolicy import (
    LoggedDecisions,
    confidence_sequence,
    cross_fitted,
    doubly_robust,
    effective_size,
    importance_weights,
)

Array = NDArray[np.float64]
REPLAYS = 200


def world(seed: int, n: int = 800, floor: float = 0.05) -> tuple[LoggedDecisions, Array, Array]:
    """A log of a policy that prefers the second of three actions, contexts, and the true means."""
    rng = np.random.default_rng(seed)
    contexts = rng.normal(size=(n, 3))
    means = 0.5 + 0.2 * np.tanh(contexts @ np.array([[1.0, 0, -1], [0, 0, 0.5], [0, 0.3, 0]]))
    probabilities = np.full((n, 3), floor)
    probabilities[:, 1] = 1 - 2 * floor
    taken = np.array([rng.choice(3, p=p) for p in probabilities])
    reward = (rng.random(n) < means[np.arange(n), taken]).astype(float)
    return LoggedDecisions(taken, probabilities, reward), contexts, means


def greedy(means: Array) -> Array:
    return np.eye(means.shape[1])[means.argmax(axis=1)]


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    covered = 0
    for seed in range(REPLAYS):
        logged, contexts, means = world(seed)
        wanted = greedy(means)
        estimated = doubly_robust(logged, wanted, cross_fitted(logged, contexts))
        assert estimated.interval is not None
        truth = float((wanted * means).sum(axis=1).mean())
        covered += estimated.interval.low <= truth <= estimated.interval.high
    assert covered >= 0.95 * REPLAYS


def test_differences_are_narrower_than_what_they_are_between() -> None:
    logged, contexts, means = world(1)
    expected = cross_fitted(logged, contexts)
    wanted = 0.9 * logged.probabilities + 0.1 * greedy(means)
    alone = doubly_robust(logged, wanted, expected).interval
    gain = doubly_robust(logged, wanted, expected, against=logged.probabilities).interval
    assert alone is not None
    assert gain is not None
    assert gain.high - gain.low < 0.5 * (alone.high - alone.low)
    truth = float(((wanted - logged.probabilities) * means).sum(axis=1).mean())
    assert gain.low <= truth <= gain.high


def test_the_policy_that_logged_is_worth_what_it_earned() -> None:
    logged, contexts, _ = world(2)
    estimated = doubly_robust(logged, logged.probabilities, np.zeros_like(logged.probabilities))
    assert estimated.values.mean() == pytest.approx(logged.reward.mean())
    assert estimated.effective == pytest.approx(len(logged))
    assert contexts.shape == (len(logged), 3)


def test_too_little_overlap_gives_no_interval() -> None:
    logged, contexts, _ = world(3, floor=0.001)
    never = np.tile([1.0, 0.0, 0.0], (len(logged), 1))
    estimated = doubly_robust(logged, never, cross_fitted(logged, contexts))
    assert estimated.interval is None
    assert estimated.effective == pytest.approx(0.8)


def test_a_sample_without_its_heaviest_weights_does_not_look_quiet() -> None:
    """None of the rare action's rewards was seen, so the values alone vary too little."""
    n = 2_000
    probabilities = np.tile([0.02, 0.98], (n, 1))
    reward = np.tile([0.0, 1.0], n // 2)
    logged = LoggedDecisions(np.ones(n, dtype=np.intp), probabilities, reward)
    wanted = np.tile([0.5, 0.5], (n, 1))
    interval = doubly_robust(logged, wanted, np.full((n, 2), 0.5)).interval
    assert interval is not None
    blind = confidence_sequence(doubly_robust(logged, wanted, np.full((n, 2), 0.5)).values)
    assert interval.high - interval.low > 3 * (blind.high - blind.low)


def test_weights_and_size() -> None:
    logged = LoggedDecisions(
        np.array([0, 1]), np.array([[0.5, 0.5], [0.8, 0.2]]), np.array([1.0, 0.0])
    )
    wanted = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert importance_weights(logged, wanted).tolist() == [2.0, 5.0]
    assert effective_size(logged, wanted) == pytest.approx(2 / 3.5)


@pytest.mark.parametrize(
    ("probabilities", "wanted", "says"),
    [
        ([[0.0, 1.0]], [[1.0, 0.0]], "probability 0"),
        ([[0.5, 0.5]], [[0.7, 0.7]], "sum to 1"),
        ([[0.5, 0.5]], [[1.5, -0.5]], "negative"),
        ([[1.0, 0.0]], [[0.5, 0.5]], "not eligible"),
        ([[math.nan, 0.5]], [[0.5, 0.5]], "not finite"),
        ([[0.5, 0.5]], [[1.0]], "one logged and one wanted"),
    ],
)
def test_bad_shares_are_refused(
    probabilities: list[list[float]], wanted: list[list[float]], says: str
) -> None:
    logged = LoggedDecisions(np.array([0]), np.array(probabilities), np.array([1.0]))
    with pytest.raises(BadInput, match=says):
        importance_weights(logged, np.array(wanted))


def test_no_decision_and_bad_rewards_are_refused() -> None:
    logged, contexts, means = world(4, n=60)
    empty = LoggedDecisions(np.zeros(0, dtype=np.intp), np.zeros((0, 3)), np.zeros(0))
    with pytest.raises(BadInput, match="no decision"):
        importance_weights(empty, np.zeros((0, 3)))
    broken = replace(logged, reward=np.full(60, np.inf))
    with pytest.raises(BadInput, match="reward is not finite"):
        doubly_robust(broken, greedy(means), np.zeros((60, 3)))
    with pytest.raises(BadInput, match="one reward per decision"):
        doubly_robust(logged, greedy(means), np.zeros((60, 2)))
    assert cross_fitted(logged, contexts).shape == (60, 3)


def test_a_model_never_sees_the_decision_it_is_asked_about() -> None:
    logged, contexts, _ = world(5, n=50)
    before = cross_fitted(logged, contexts)
    changed = logged.reward.copy()
    changed[7] += 100.0
    after = cross_fitted(replace(logged, reward=changed), contexts)
    assert (before[7] == after[7]).all()
    assert (before[8] != after[8]).any()


def test_a_confidence_sequence_holds_at_every_length_at_once() -> None:
    missed = 0
    for seed in range(REPLAYS):
        values = (np.random.default_rng(seed).random(1_500) < 0.3).astype(float)
        intervals = [confidence_sequence(values[:n]) for n in range(50, 1_501, 50)]
        missed += any(not i.low <= 0.3 <= i.high for i in intervals)
    assert missed <= 0.05 * REPLAYS


@pytest.mark.parametrize("values", [[], [math.nan], [[1.0]]])
def test_bad_values_are_refused(values: list[float]) -> None:
    with pytest.raises(BadInput, match="finite"):
        confidence_sequence(values)


def test_one_value_says_nothing() -> None:
    interval = confidence_sequence([0.4])
    assert (interval.mean, interval.low, interval.high) == (0.4, -math.inf, math.inf)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_level_lies_between(level: float) -> None:
    with pytest.raises(BadInput, match="level"):
        confidence_sequence([0.1, 0.2], level)
