"""A quality that was told wrongly and then corrected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from streams import QUALITY_ONLY, SETTINGS, VERSION, actions, context, outcome

from bandit import POLICY_NAMES, Outcome, Policy, load_policy, make_policy
from bandit.adaptive.policy import AdaptivePolicy
from bandit.errors import BadOutcome
from bandit.models.vowpal_wabbit import EXPLORER_NAMES
from bandit.snapshots.codec import unpack

PLAIN = replace(SETTINGS, vw=frozenset(), detect_changes=False)


def fresh(name: str = "adaptive") -> Policy:
    return make_policy(name, PLAIN, VERSION, np.random.default_rng(1))


def told(count: int, weight: float = 1.0) -> list[Outcome]:
    rng = np.random.default_rng(7)
    one, other, _ = actions(3)
    return [
        replace(outcome((one, other)[n % 2], context(rng), float(n % 3 == 0)), weight=weight)
        for n in range(count)
    ]


def corrected(given: Outcome, quality: float | None) -> Outcome:
    return Outcome(
        given.action,
        given.context,
        quality=quality,
        replaces=given.quality,
        weight=given.weight,
    )


def statistics(policy: Policy) -> dict[str, np.ndarray]:
    return unpack(policy.save()).part("quality")


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_a_correction_equals_the_right_value_told_at_once(weight: float) -> None:
    outcomes = told(16, weight)  # so few that each is solved for at once
    right = [replace(given, quality=0.25) for given in outcomes]
    wrong = fresh()
    wrong.learn(outcomes)
    wrong.learn([corrected(given, 0.25) for given in outcomes])
    never = fresh()
    never.learn(right)
    one, other = statistics(wrong), statistics(never)
    for name in ("gram", "moment", "square", "count"):
        assert one[name] == pytest.approx(other[name], abs=1e-9), name
    # How noisy qualities are was estimated meanwhile, from the wrong ones.
    expected = [
        policy.decide(context(np.random.default_rng(3)), actions(2), QUALITY_ONLY).estimates
        for policy in (wrong, never)
    ]
    for action in ("a0", "a1"):
        assert abs(expected[0][action].quality - expected[1][action].quality) < 0.05


def test_a_withdrawn_outcome_no_longer_changes_expectations() -> None:
    rng, (action,) = np.random.default_rng(0), actions(1)
    policy, given = fresh(), [outcome(actions(1)[0], context(rng), 1.0) for _ in range(12)]
    policy.learn(given)
    lies = [outcome(action, given[0].context, 0.0) for _ in range(4)]

    def expected() -> float:
        asked = policy.decide(given[0].context, [action], QUALITY_ONLY)
        return asked.estimates[action.name].quality

    before = expected()
    policy.learn(lies)
    fooled = expected()
    policy.learn([corrected(lie, None) for lie in lies])
    assert fooled < before - 0.1
    assert expected() > fooled + 0.5 * (before - fooled)


def test_a_correction_of_an_unknown_outcome_is_learned_as_a_first_one() -> None:
    (given,) = told(1)
    one, other = fresh(), fresh()
    one.learn([replace(corrected(given, 0.25), cost_usd=given.cost_usd)])
    other.learn([Outcome(given.action, given.context, quality=0.25, cost_usd=given.cost_usd)])
    assert one.save() == other.save()


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_corrections_change_every_policy_and_survive_a_restart(name: str) -> None:
    policy = make_policy(name, SETTINGS, VERSION, np.random.default_rng(1))
    outcomes = told(60)
    policy.learn(outcomes)
    twin = load_policy(policy.save(), SETTINGS, VERSION)
    corrections = [
        corrected(given, quality) for given, quality in zip(outcomes, [0.9, None] * 30, strict=True)
    ]
    for correction in corrections:
        policy.learn([correction])
        twin.learn([correction])
    assert twin.learned == policy.learned == 120
    if name not in EXPLORER_NAMES:  # whose models leave counters out
        assert twin.save() == policy.save()


def test_running_means_after_a_correction_hold_the_right_value_only() -> None:
    policy = make_policy("thompson", SETTINGS, VERSION, np.random.default_rng(1))
    outcomes = told(40)
    policy.learn(outcomes)
    policy.learn([corrected(given, 0.25) for given in outcomes])
    decision = policy.decide(outcomes[0].context, actions(2), QUALITY_ONLY)
    # Twenty outcomes of 0.25 beside the made-up one of 0.75.
    assert decision.estimates["a0"].quality == pytest.approx((20 * 0.25 + 0.75) / 21)


@pytest.mark.parametrize("was", [-0.1, 1.1, float("nan")])
def test_a_correction_of_an_impossible_quality_is_refused(was: float) -> None:
    (given,) = told(1)
    policy = fresh()
    with pytest.raises(BadOutcome, match="replaces"):
        policy.learn([replace(given, replaces=was)])
    assert policy.learned == 0


def of_day(day: int, count: int, quality: float) -> list[Outcome]:
    rng, action = np.random.default_rng(day), actions(3)[0]
    return [
        replace(outcome(action, context(rng), quality), made_ms=1_000.0 * day + n)
        for n in range(count)
    ]


def expected(policy: Policy) -> float:
    """Quality of the first action."""
    assert isinstance(policy, AdaptivePolicy)
    asked = context(np.random.default_rng(0)), actions(3)[:1], QUALITY_ONLY
    return policy.beliefs(*asked)[0].estimate.quality


def test_outcomes_before_an_actions_change_are_not_corrected() -> None:
    """An evaluator called everything right, was mended, and then corrects what it had said."""
    settings = replace(SETTINGS, vw=frozenset())
    policy = make_policy("adaptive", settings, VERSION, np.random.default_rng(1))
    before, after = of_day(1, 300, 1.0), of_day(2, 60, 0.3)
    policy.learn(before + after)
    known = expected(policy)
    assert known < 0.5
    policy.learn([replace(one, quality=0.3, replaces=1.0) for one in before])
    assert expected(policy) == known
    policy.learn([replace(after[-1], quality=0.9, replaces=0.3)])
    assert expected(policy) > known
    assert load_policy(policy.save(), settings, VERSION).learned == policy.learned


def test_outcomes_before_a_limit_are_not_corrected() -> None:
    policy, given = fresh(), of_day(1, 1_000, 1.0)
    policy.learn(given)
    assert isinstance(policy, AdaptivePolicy)
    policy.limit(20)
    known = expected(policy)
    policy.learn([replace(one, quality=0.5, replaces=1.0) for one in given[-200:]])
    assert expected(policy) == known
