"""A limit makes earlier outcomes count for less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from streams import QUALITY_ONLY, SETTINGS, VERSION, actions, context, outcome

from bandit import load_policy
from bandit.adaptive.policy import NAME, AdaptivePolicy
from bandit.errors import BadSettings

PLAIN = replace(SETTINGS, detect_changes=False)


def taught() -> AdaptivePolicy:
    policy = AdaptivePolicy(NAME, PLAIN, VERSION, np.random.default_rng(1))
    rng = np.random.default_rng(0)
    for n in range(600):
        policy.learn([outcome(actions(2)[n % 2], context(rng), float(n % 4 < 2))])
    return policy


def expected(policy: AdaptivePolicy) -> float:
    seen = context(np.random.default_rng(3), 0)
    return policy.decide(seen, actions(2), QUALITY_ONLY).estimates["a0"].quality


@pytest.mark.slow
def test_limit_keeps_expectations_that_later_outcomes_change_sooner() -> None:
    strong, weak = taught(), taught()
    weak.limit(20)
    before = expected(strong)
    assert abs(expected(weak) - before) < 0.1
    rng = np.random.default_rng(2)
    for _ in range(60):
        told = outcome(actions(2)[0], context(rng), 0.0)
        strong.learn([told])
        weak.learn([told])
    assert expected(weak) < 0.6 * expected(strong)


def test_a_limited_policy_is_restored_bit_for_bit() -> None:
    policy = taught()
    policy.limit(20)
    twin = load_policy(policy.save(), PLAIN, VERSION)
    rng = np.random.default_rng(2)
    for n in range(100):
        told = outcome(actions(3)[n % 3], context(rng), 0.5)
        policy.learn([told])
        twin.learn([told])
    assert twin.save() == policy.save()


@pytest.mark.slow
def test_limit_above_the_learned_weight_changes_nothing() -> None:
    policy, same = taught(), taught()
    policy.limit(1e6)
    assert expected(policy) == pytest.approx(expected(same), abs=0.005)


@pytest.mark.parametrize("most", [0.0, 0.5, float("nan"), float("inf")])
def test_a_limit_below_one_or_not_finite_is_refused(most: float) -> None:
    with pytest.raises(BadSettings):
        taught().limit(most)
