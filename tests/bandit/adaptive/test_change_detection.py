"""Noticing what has silently changed: alarms, what is kept of them, who is looked at again."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from streams import QUALITY_ONLY, SETTINGS, VERSION, actions, context, outcome, taught

from bandit import Action, Outcome, Policy, PolicySettings, Weights, load_policy, make_policy
from bandit.adaptive.change_detection import (
    FAILURE_CHANGE,
    MIN_OUTCOMES,
    MOST_EVIDENCE,
    MOST_PROBED,
    PROBE,
    QUALITY_CHANGE,
    RATIO_CHANGE,
    WATCHED_FOR,
    Alarm,
    ChangeDetector,
    ChangeSpec,
)
from bandit.snapshots.codec import unpack

BLIND = replace(SETTINGS, detect_changes=False)


def fresh(settings: PolicySettings = SETTINGS, seed: int = 1) -> Policy:
    return make_policy("adaptive", settings, VERSION, np.random.default_rng(seed))


def detector(spec: ChangeSpec = QUALITY_CHANGE, slots: int = 1) -> ChangeDetector:
    made = ChangeDetector(spec)
    made.grow(slots)
    return made


def fed(
    made: ChangeDetector, mean: float, expected: float, count: int, seed: int = 0
) -> tuple[int, Alarm] | None:
    """Right or wrong with `mean`; after how many outcomes it alarms first."""
    drawn = np.random.default_rng(seed).random(count) < mean
    for step, right in enumerate(drawn.tolist()):
        alarm = made.alarm(0, float(right), expected, 1.0)
        if alarm is not None:
            return step + 1, alarm
    return None


def test_bounded_ratio_is_that_of_two_bernoulli_models() -> None:
    """Down by .3 from .8: log(.5 / .8) for right, log(.5 / .2) for wrong."""
    right, wrong = (QUALITY_CHANGE.ratios(y, 0.8)[1] for y in (1.0, 0.0))
    assert right == pytest.approx(math.log(0.5 / 0.8))
    assert wrong == pytest.approx(math.log(0.5 / 0.2))


def test_unbounded_ratio_is_that_of_two_gaussians() -> None:
    """The ratio of 1.2: log N(1.2; .7, 1) - log N(1.2; 0, 1) = (1.2^2 - .5^2) / 2."""
    up, down = RATIO_CHANGE.ratios(1.2, 0.0)
    assert up == pytest.approx((1.2**2 - 0.5**2) / 2)
    assert down == pytest.approx((1.2**2 - 1.9**2) / 2)


@pytest.mark.parametrize("mean", [0.55, 0.8, 0.95])
def test_detector_raises_an_alarm_at_a_drop_and_none_while_steady(mean: float) -> None:
    for seed in range(5):
        made = detector()
        assert fed(made, mean, mean, 2_000, seed) is None
        found = fed(made, mean - 0.3, mean, 200, seed)
        assert found is not None
        after, alarm = found
        assert after <= 110
        assert alarm.shift < -0.2
        assert alarm.count <= MOST_EVIDENCE


def test_detector_is_sooner_where_outcomes_scatter_little() -> None:
    rng, made = np.random.default_rng(0), detector()
    for grade in rng.normal(0.9, 0.08, 400).clip(0, 1):
        assert made.alarm(0, float(grade), 0.9, 1.0) is None
    steps = [made.alarm(0, float(g), 0.9, 1.0) for g in rng.normal(0.6, 0.08, 20).clip(0, 1)]
    assert next(i for i, alarm in enumerate(steps) if alarm) < 12


def test_detector_is_silent_while_predictions_scatter_about_the_truth() -> None:
    for seed in range(5):
        rng, made = np.random.default_rng(seed), detector()
        right, expected = rng.random(2_000) < 0.6, rng.choice([0.35, 0.85], 2_000)
        alarms = [made.alarm(0, float(y), p, 1.0) for y, p in zip(right, expected, strict=True)]
        assert not any(alarms)


def test_detector_is_silent_before_enough_outcomes() -> None:
    made = detector()
    alarms = [made.alarm(0, 0.0, 0.9, 1.0) for _ in range(int(MIN_OUTCOMES))]
    assert not any(alarms)


def test_detector_needs_twice_the_outcomes_at_half_the_weight() -> None:
    def steps(weight: float) -> int:
        made = detector()
        for i in range(400):
            made.alarm(0, float(i % 5 > 0), 0.8, 1.0)
        return next(i for i in range(100) if made.alarm(0, 0.0, 0.8, weight) is not None)

    assert steps(0.5) == pytest.approx(2 * steps(1.0), abs=2)


def test_an_action_that_became_worse_is_probed_for_a_while() -> None:
    made, rows = detector(slots=2), np.array([0, 1, -1])
    assert fed(made, 0.9, 0.9, 300) is None
    assert made.probes(rows).tolist() == [0, 0, 0]
    assert fed(made, 0.2, 0.9, 100) is not None
    first = made.probes(rows)
    assert PROBE <= first[0] <= 0.05
    assert first[1:].tolist() == [0, 0]
    for _ in range(4):
        made.alarm(0, 1.0, 0.3, 1.0)
    assert first[0] < made.probes(rows)[0] <= MOST_PROBED
    for _ in range(int(WATCHED_FOR)):
        made.alarm(1, 0.9, 0.9, 1.0)
    assert made.probes(rows).tolist() == [0, 0, 0]


def test_detector_needs_less_evidence_for_the_recovery_of_a_watched_action() -> None:
    def needed(*, watched: bool) -> int:
        made = detector()
        fed(made, 0.9 if watched else 0.3, 0.9 if watched else 0.3, 300)
        if watched:
            assert fed(made, 0.3, 0.9, 100) is not None
        return next(i for i in range(200) if made.alarm(0, 1.0, 0.3, 1.0) is not None)

    assert needed(watched=True) < needed(watched=False)


def test_detector_restored_from_its_arrays_goes_on() -> None:
    made, twin = detector(FAILURE_CHANGE, 2), ChangeDetector(FAILURE_CHANGE)
    fed(made, 0.05, 0.05, 300)
    twin.restore({name: array.copy() for name, array in made.arrays().items()}, 2)
    for step in range(60):
        one, two = (each.alarm(0, float(step % 2), 0.05, 1.0) for each in (made, twin))
        assert one == two
    assert (made.probes(np.array([0, 1])) == twin.probes(np.array([0, 1]))).all()
    with pytest.raises(ValueError, match="shape"):
        twin.restore(made.arrays(), 3)


def dropped(policy: Policy, rounds: int = 800) -> Policy:
    """Its best action has just become the worst."""
    taught(policy, lambda action, _: 0.9 if action == "a0" else 0.7, rounds)
    taught(policy, lambda action, _: 0.2 if action == "a0" else 0.7, 150, seed=1)
    return policy


def shares(policy: Policy, count: int = 40) -> float:
    """Return the mean share of a0."""
    rng = np.random.default_rng(9)
    found = [
        policy.decide(context(rng), actions(3), QUALITY_ONLY).probabilities for _ in range(count)
    ]
    return float(np.mean([each["a0"] for each in found]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow
def test_policy_notices_an_action_that_recovers(seed: int) -> None:
    policy = dropped(fresh(seed=seed))
    assert PROBE / 2 <= shares(policy) < 0.06
    taught(policy, lambda action, _: 0.9 if action == "a0" else 0.7, 600, seed=2)
    assert shares(policy) > 0.5


def test_probabilities_of_a_decision_include_the_probes() -> None:
    """So the propensity of a probe is honest."""
    policy, rng = dropped(fresh()), np.random.default_rng(3)
    for _ in range(30):
        decision = policy.decide(context(rng), actions(3), QUALITY_ONLY)
        assert decision.probabilities["a0"] >= PROBE - 1e-9
        assert sum(decision.probabilities.values()) == pytest.approx(1)
        assert decision.propensity == decision.probabilities[decision.action]


def test_policy_that_watches_an_action_is_restored_bit_for_bit() -> None:
    policy = dropped(fresh())
    twin = load_policy(policy.save(), SETTINGS, VERSION)
    rng = np.random.default_rng(5)
    for step in range(80):
        seen = context(rng)
        one, two = (p.decide(seen, actions(3), QUALITY_ONLY) for p in (policy, twin))
        assert one == two
        chosen = next(a for a in actions(3) if a.name == one.action)
        for each in (policy, twin):
            each.learn([outcome(chosen, seen, float(step % 3 > 0), one.propensity)])
    one, two = (unpack(each.save()).arrays for each in (policy, twin))
    assert all((one[name] == two[name]).all() for name in one if name.startswith("change."))


def spent(
    policy: Policy, factor: float, rounds: int, *, ms: float = 400.0, failed: bool = False
) -> None:
    rng = np.random.default_rng(6)
    for _ in range(rounds):
        for action in actions(2):
            mine = action.name == "a0"
            policy.learn(
                [
                    Outcome(
                        action,
                        context(rng),
                        quality=0.8,
                        cost_usd=action.prior_cost_usd
                        * (factor if mine else 1.0)
                        * rng.lognormal(0, 0.3),
                        latency_ms=(ms if mine else 400.0) * rng.lognormal(0, 0.3),
                        failed=failed and mine and bool(rng.random() < 0.6),
                    )
                ]
            )


@pytest.mark.parametrize("settings", [SETTINGS, BLIND], ids=["watching", "blind"])
def test_policy_notices_a_silent_change_of_price_latency_or_failure(
    settings: PolicySettings,
) -> None:
    """Without watching, 300 outcomes of before outweigh 30 of after."""
    policy = fresh(settings)
    spent(policy, 1.0, 300)
    spent(policy, 4.0, 30, ms=4_000.0, failed=True)
    seen = context(np.random.default_rng(7))
    estimate = policy.decide(seen, actions(2), Weights()).estimates["a0"]
    watching = settings.detect_changes
    assert (estimate.cost_usd > 3 * 0.001) == watching
    assert (estimate.latency_ms > 2_500) == watching
    assert (estimate.failure > 0.35) == watching
    other = policy.decide(seen, actions(2), Weights()).estimates["a1"]
    assert other.cost_usd < 1.5 * 0.002
    assert other.failure < 0.1


@pytest.mark.parametrize(("quality", "low", "high"), [(0.1, 0.0, 0.08), (1.0, 0.5, 1.0)])
def test_a_newcomer_gets_a_small_share_and_then_what_it_deserves(
    quality: float, low: float, high: float
) -> None:
    policy = fresh()
    taught(policy, lambda _, __: 0.6, 300, choices=actions(2))
    rng, late = np.random.default_rng(8), Action("late", 0.001)
    choices = [*actions(2), late]
    first = policy.decide(context(rng), choices, QUALITY_ONLY).probabilities["late"]
    assert 0.02 < first < 0.06
    calls = 0
    for _ in range(300):
        seen = context(rng)
        decision = policy.decide(seen, choices, QUALITY_ONLY)
        chosen = next(a for a in choices if a.name == decision.action)
        mean = quality if chosen is late else 0.6
        calls += chosen is late
        policy.learn([outcome(chosen, seen, float(rng.random() < mean), decision.propensity)])
    assert low * 300 <= calls <= high * 300


def test_a_newcomer_without_judged_outcomes_keeps_a_small_share() -> None:
    policy = fresh()
    taught(policy, lambda _, __: 0.6, 300, choices=actions(2))
    rng, choices = np.random.default_rng(8), [*actions(2), Action("late", 0.001)]
    shares = [
        policy.decide(context(rng), choices, QUALITY_ONLY).probabilities["late"] for _ in range(50)
    ]
    assert max(shares) < 0.06
