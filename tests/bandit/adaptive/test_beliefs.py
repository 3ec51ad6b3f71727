"""Policies report their estimates and how sure they are of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from streams import QUALITY_ONLY, SETTINGS, VERSION, actions, context, taught

from bandit import Weights, make_policy
from bandit.adaptive.beliefs import JointPosterior, PosteriorPolicy, beliefs_of
from bandit.errors import BadAction, NoEligibleAction
from bandit.types import Estimate, Policy


def fresh(name: str = "adaptive", initial_pulls: int = SETTINGS.initial_pulls) -> Policy:
    settings = replace(SETTINGS, initial_pulls=initial_pulls)
    return make_policy(name, settings, VERSION, np.random.default_rng(1))


def quality(action: str, kind: int) -> float:
    """a2 is right for cluster 0, a0 elsewhere."""
    return 0.9 if (action == "a2") == (kind == 0) else 0.3


def test_quality_interval_covers_the_truth_and_narrows() -> None:
    policy, rng = fresh(initial_pulls=40), np.random.default_rng(0)
    seen = context(rng, 0)
    before = beliefs_of(policy, seen, actions(3), QUALITY_ONLY)
    taught(policy, quality, 600)
    after = beliefs_of(policy, seen, actions(3), QUALITY_ONLY)
    for early, late in zip(before, after, strict=True):
        assert early.quality is not None
        assert late.quality is not None
        assert late.quality.high - late.quality.low < early.quality.high - early.quality.low
        assert late.quality.low <= late.quality.mean <= late.quality.high
    best = after[2]
    assert best.quality is not None
    assert best.quality.low <= 0.9 <= best.quality.high
    assert best.best is not None
    assert best.best > 0.95
    assert sum(belief.best or 0.0 for belief in after) == pytest.approx(1)
    assert sum(belief.outcomes or 0.0 for belief in after) == 600


def test_beliefs_equal_a_decisions_estimates_and_draw_nothing() -> None:
    policy, twin, rng = fresh(), fresh(), np.random.default_rng(3)
    taught(policy, quality, 100)
    taught(twin, quality, 100)
    seen, weights = context(rng), Weights(cost=0.2)
    first = beliefs_of(policy, seen, actions(3), weights)
    assert beliefs_of(policy, seen, actions(3), weights) == first
    decided, other = (p.decide(seen, actions(3), weights) for p in (policy, twin))
    assert decided == other
    assert {b.action: b.estimate for b in first} == decided.estimates


def test_cost_interval_lies_around_its_mean() -> None:
    policy = fresh()
    taught(policy, quality, 300)
    for belief in beliefs_of(policy, context(np.random.default_rng(1)), actions(3), QUALITY_ONLY):
        assert belief.cost_usd is not None
        cost = belief.cost_usd
        assert 0 < cost.low < belief.estimate.cost_usd == cost.mean < cost.high


def test_probability_of_being_best_falls_with_the_price() -> None:
    policy, seen = fresh(initial_pulls=40), context(np.random.default_rng(2), 0)
    taught(policy, quality, 600)
    free = beliefs_of(policy, seen, actions(3), QUALITY_ONLY)
    dear = beliefs_of(policy, seen, actions(3), Weights(cost=10.0))
    assert (free[2].best or 0) > 0.95
    assert (dear[2].best or 0) < 0.05


@pytest.mark.parametrize("name", ["knn", "thompson", "fixed", "cluster-table"])
def test_a_policy_without_a_posterior_gives_its_estimates(name: str) -> None:
    policy = fresh(name)
    assert not isinstance(policy, PosteriorPolicy)
    found = beliefs_of(policy, context(np.random.default_rng(1)), actions(2), QUALITY_ONLY)
    assert [belief.action for belief in found] == ["a0", "a1"]
    assert all(b.quality is None and b.best is None for b in found)
    assert all(math.isfinite(b.estimate.utility) for b in found)


def test_beliefs_of_an_unseen_action_are_wide() -> None:
    policy, seen = fresh(), context(np.random.default_rng(1), 0)
    taught(policy, quality, 300)
    known, new = beliefs_of(policy, seen, [*actions(1), *actions(9)[8:]], QUALITY_ONLY)
    assert new.outcomes == 0
    assert known.quality is not None
    assert new.quality is not None
    assert new.quality.high - new.quality.low > 1.5 * (known.quality.high - known.quality.low)


def test_beliefs_of_bad_requests_are_refused() -> None:
    seen = context(np.random.default_rng(1))
    with pytest.raises(NoEligibleAction):
        beliefs_of(fresh(), seen, [], QUALITY_ONLY)
    with pytest.raises(BadAction):
        beliefs_of(fresh(), seen, [*actions(1), *actions(1)], QUALITY_ONLY)


def test_shared_uncertainty_leaves_the_best_action_certain() -> None:
    """A shared error leaves the order of both certain; the marginals alone would not."""
    estimate = Estimate(0.6, 0.001, 1.0, 0.0, 0.6)
    joint = JointPosterior(
        quality=np.array([0.6, 0.5]),
        quality_covariance=np.full((2, 2), 0.01),
        log_cost_covariance=np.zeros((2, 2)),
        burden=np.zeros(2),
        known_usd=np.zeros(2),
        outcomes=np.ones(2),
    )
    first, second = joint.beliefs([("a", estimate), ("b", estimate)], 1.0)
    assert (first.best, second.best) == (1.0, 0.0)
