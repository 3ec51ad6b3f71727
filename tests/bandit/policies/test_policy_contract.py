"""Every policy keeps its contract with its caller."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from streams import (
    QUALITY_ONLY,
    SETTINGS,
    SHAPE,
    VERSION,
    actions,
    context,
    least_share,
    outcome,
    taught,
)

from bandit import (
    POLICY_NAMES,
    Action,
    Outcome,
    Policy,
    PolicySettings,
    Weights,
    load_policy,
    make_policy,
)
from bandit.errors import (
    BadAction,
    BadContext,
    BadOutcome,
    BadSettings,
    BadWeights,
    CorruptSnapshot,
    NoEligibleAction,
    UnknownPolicy,
    VersionMismatch,
)
from bandit.models.vowpal_wabbit import EXPLORER_NAMES

pytestmark = pytest.mark.parametrize("name", POLICY_NAMES)


def fresh(name: str, seed: int = 1) -> Policy:
    return make_policy(name, SETTINGS, VERSION, np.random.default_rng(seed))


def by_kind(action: str, kind: int) -> float:
    return 0.9 if action == f"a{kind % 3}" else 0.3


def trained(name: str, rounds: int = 150) -> Policy:
    policy = fresh(name)
    taught(policy, by_kind, rounds)
    return policy


@pytest.mark.parametrize("count", [1, 2, 12])
@pytest.mark.parametrize("rounds", [0, 3, 120])
def test_decide_gives_positive_probabilities_that_sum_to_one(
    name: str, count: int, rounds: int
) -> None:
    policy, rng = fresh(name), np.random.default_rng(2)
    choices = actions(count)
    for _ in range(rounds):
        seen = context(rng)
        decision = policy.decide(seen, choices, Weights())
        chosen = next(a for a in choices if a.name == decision.action)
        policy.learn([outcome(chosen, seen, 0.5, decision.propensity)])
    for _ in range(20):
        decision = policy.decide(context(rng), choices, Weights())
        shares = decision.probabilities
        assert list(shares) == [a.name for a in choices]
        assert abs(sum(shares.values()) - 1) < 1e-9
        assert min(shares.values()) >= least_share(name) - 1e-12
        assert decision.propensity == shares[decision.action]
        assert set(decision.estimates) == set(shares)


def test_only_eligible_actions_are_chosen(name: str) -> None:
    policy, rng = trained(name), np.random.default_rng(3)
    eligible = actions(3)[1:2]
    for _ in range(20):
        decision = policy.decide(context(rng), eligible, QUALITY_ONLY)
        assert decision.action == "a1"
        assert decision.propensity == pytest.approx(1)


def test_choices_are_as_frequent_as_their_probabilities(name: str) -> None:
    """Sum of (chosen - probability) is a martingale; its spread is known from the probabilities."""
    policy, rng = trained(name, 40), np.random.default_rng(4)
    surprise, variance = np.zeros(3), np.zeros(3)
    for _ in range(2_000):
        decision = policy.decide(context(rng), actions(3), QUALITY_ONLY)
        shares = np.array(list(decision.probabilities.values()))
        chosen = np.array([a == decision.action for a in decision.probabilities])
        surprise += chosen - shares
        variance += shares * (1 - shares)
    assert (abs(surprise) < 4 * np.sqrt(variance)).all()
    assert variance.min() > 1


def test_a_restored_policy_goes_on_bit_for_bit(name: str) -> None:
    policy = trained(name)
    twin = load_policy(policy.save(), SETTINGS, VERSION)
    assert (twin.name, twin.learned) == (name, 150)
    rng = np.random.default_rng(5)
    for step in range(120):
        seen = context(rng)
        one, two = (p.decide(seen, actions(4), Weights()) for p in (policy, twin))
        assert one == two
        chosen = next(a for a in actions(4) if a.name == one.action)
        for each in (policy, twin):
            each.learn([outcome(chosen, seen, float(step % 3 == 0), one.propensity)])
    assert load_policy(policy.save(), SETTINGS, VERSION).learned == twin.learned == 270


def test_saving_changes_nothing(name: str) -> None:
    """A log replayed in one go gives what was learned with pauses, bit for bit."""
    if name in EXPLORER_NAMES:
        pytest.skip("Vowpal Wabbit's explorers learn from counters that their models leave out")

    def learned(*, pausing: bool) -> bytes:
        policy, rng = fresh(name), np.random.default_rng(3)
        for step in range(260):
            kind, action = int(rng.integers(4)), actions(3)[step % 3]
            policy.learn([outcome(action, context(rng, kind), by_kind(action.name, kind))])
            if pausing and step % 7 == 0:
                policy = load_policy(policy.save(), SETTINGS, VERSION, None, name=name)
        return policy.save()

    assert learned(pausing=False) == learned(pausing=True)


def test_an_untaught_policy_can_be_saved(name: str) -> None:
    policy = fresh(name)
    twin = load_policy(policy.save(), SETTINGS, VERSION)
    seen = context(np.random.default_rng(0))
    assert twin.decide(seen, actions(3), Weights()) == policy.decide(seen, actions(3), Weights())


def test_a_replica_may_bring_its_own_random_source(name: str) -> None:
    payload = trained(name, 8).save()
    seen = context(np.random.default_rng(0))
    settings = replace(SETTINGS, floor=0.1)

    def run(seed: int) -> list[str]:
        policy = load_policy(payload, settings, VERSION, np.random.default_rng(seed))
        return [policy.decide(seen, actions(3), Weights()).action for _ in range(40)]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_damaged_snapshots_are_refused(name: str) -> None:
    payload = trained(name, 20).save()
    middle = len(payload) // 2
    flipped = payload[:middle] + bytes([payload[middle] ^ 1]) + payload[middle + 1 :]
    for bad in (b"", b"x", payload[:40], payload[:-1], payload + b"0", flipped, b"z" * 200):
        with pytest.raises(CorruptSnapshot):
            load_policy(bad, SETTINGS, VERSION)


def test_snapshots_of_another_map_policy_or_shape_are_refused(name: str) -> None:
    payload = trained(name, 20).save()
    with pytest.raises(VersionMismatch, match="context map"):
        load_policy(payload, SETTINGS, "v2")
    with pytest.raises(VersionMismatch, match="replay"):
        load_policy(payload, replace(SETTINGS, replay=7), VERSION)
    with pytest.raises(VersionMismatch, match="format"):
        load_policy(payload[:8] + b"\x63" + payload[9:], SETTINGS, VERSION)
    other = next(n for n in POLICY_NAMES if n != name)
    with pytest.raises(VersionMismatch, match="policy"):
        load_policy(payload, SETTINGS, VERSION, name=other)
    assert load_policy(payload, SETTINGS, VERSION, name=name).learned == 20


def test_an_action_may_appear_later(name: str) -> None:
    policy, rng = trained(name, 100), np.random.default_rng(6)
    choices = [*actions(3), Action("late", 0.002)]
    for _ in range(30):
        seen = context(rng)
        decision = policy.decide(seen, choices, QUALITY_ONLY)
        assert decision.probabilities["late"] >= least_share(name) - 1e-12
        for chosen in choices:
            policy.learn([outcome(chosen, seen, 0.6, decision.probabilities[chosen.name])])
    without = policy.decide(context(rng), actions(2), QUALITY_ONLY)
    assert set(without.probabilities) == {"a0", "a1"}


def test_estimates_stay_finite_when_all_outcomes_are_equal(name: str) -> None:
    policy, rng = fresh(name), np.random.default_rng(7)
    seen = context(rng)
    for action in actions(3) * 100:
        policy.learn([Outcome(action, seen, 0.3, 1.0, 0.0, 0.0, failed=False)])
    decision = policy.decide(seen, actions(3), Weights())
    assert np.isfinite(list(decision.probabilities.values())).all()
    for estimate in decision.estimates.values():
        assert np.isfinite(
            [estimate.quality, estimate.cost_usd, estimate.latency_ms, estimate.utility]
        ).all()


def test_outcomes_may_come_in_pieces(name: str) -> None:
    policy = fresh(name)
    seen, action = context(np.random.default_rng(8)), actions(1)[0]
    policy.learn([Outcome(action, seen, cost_usd=0.004)])
    policy.learn([Outcome(action, seen, latency_ms=90.0), Outcome(action, seen, failed=True)])
    policy.learn([Outcome(action, seen, quality=0.0, weight=0.25), Outcome(action, seen)])
    assert policy.learned == 5
    estimate = policy.decide(seen, [action], Weights()).estimates["a0"]
    assert estimate.cost_usd > action.prior_cost_usd
    assert estimate.latency_ms < 1_000
    assert estimate.failure > 0.02
    assert estimate.quality < 0.75


def test_learn_with_one_bad_outcome_learns_nothing(name: str) -> None:
    policy = fresh(name)
    before = policy.save()
    seen, action = context(np.random.default_rng(9)), actions(1)[0]
    good = outcome(action, seen, 1.0)
    for bad in (
        replace(good, quality=1.5),
        replace(good, quality=float("nan")),
        replace(good, cost_usd=-1.0),
        replace(good, latency_ms=float("inf")),
        replace(good, weight=0.0),
        replace(good, propensity=0.0),
        replace(good, propensity=float("nan")),
    ):
        with pytest.raises(BadOutcome):
            policy.learn([good, bad])
    with pytest.raises(BadAction):
        policy.learn([good, replace(good, action=Action("free", 0.0))])
    with pytest.raises(BadContext):
        policy.learn([good, replace(good, context=replace(seen, features=np.zeros(3)))])
    with pytest.raises(VersionMismatch):
        policy.learn([good, replace(good, context=replace(seen, version="v2"))])
    assert policy.learned == 0
    assert policy.save() == before


def test_bad_contexts_are_refused(name: str) -> None:
    policy = fresh(name)
    good = context(np.random.default_rng(10))
    holed, huge = good.features.copy(), good.projection.copy()
    holed[0], huge[1] = np.nan, 1e6
    for bad in (
        replace(good, features=holed),
        replace(good, projection=huge),
        replace(good, membership=good.membership * np.inf),
        replace(good, membership=np.ones(3)),
    ):
        with pytest.raises(BadContext):
            policy.decide(bad, actions(2), Weights())
        with pytest.raises(BadContext):
            policy.learn([outcome(actions(1)[0], bad, 1.0)])
    with pytest.raises(VersionMismatch):
        policy.decide(replace(good, version="v2"), actions(2), Weights())
    assert policy.decide(good, actions(2), Weights()).probabilities
    assert policy.learned == 0


def test_bad_requests_are_refused(name: str) -> None:
    policy, seen = fresh(name), context(np.random.default_rng(11))
    with pytest.raises(NoEligibleAction):
        policy.decide(seen, [], Weights())
    with pytest.raises(BadAction, match="same name"):
        policy.decide(seen, actions(1) * 2, Weights())
    with pytest.raises(BadAction, match="prior_cost_usd"):
        policy.decide(seen, [Action("free", 0.0)], Weights())
    for weights in (Weights(cost=-0.1), Weights(quality=float("nan"))):
        with pytest.raises(BadWeights):
            policy.decide(seen, actions(2), weights)


def test_the_shape_comes_from_the_settings(name: str) -> None:
    settings = PolicySettings(shape=replace(SHAPE, clusters=5))
    policy = make_policy(name, settings, VERSION, np.random.default_rng(0))
    with pytest.raises(BadContext):
        policy.decide(context(np.random.default_rng(0)), actions(2), Weights())


def test_make_policy_refuses_unknown_names_and_random_sources(name: str) -> None:
    with pytest.raises(UnknownPolicy, match="adaptive"):
        make_policy(f"{name}x", SETTINGS, VERSION, np.random.default_rng(0))
    with pytest.raises(BadSettings):
        make_policy(name, SETTINGS, VERSION, np.random.Generator(np.random.MT19937(0)))
