"""The default policy learns from outcomes and follows weights and prices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from streams import QUALITY_ONLY, SETTINGS, VERSION, actions, context, outcome, taught

from bandit import Action, Policy, PolicySettings, Units, Weights, load_policy, make_policy
from bandit.choice import LEAST_FLOOR
from bandit.errors import CorruptSnapshot
from bandit.snapshots.codec import Snapshot, pack, unpack


def fresh(settings: PolicySettings = SETTINGS, seed: int = 1) -> Policy:
    return make_policy("adaptive", settings, VERSION, np.random.default_rng(seed))


def feed(policy: Policy, qualities: dict[str, float], rounds: int, seed: int = 0) -> None:
    """Every action gets `rounds` outcomes of its quality, in random contexts."""
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        for action in actions(3):
            drawn = float(rng.random() < qualities[action.name])
            policy.learn([outcome(action, context(rng), drawn)])


@pytest.mark.parametrize("seed", range(3))
def test_adaptive_with_contextual_signal_finds_the_action_that_suits_each_context(
    seed: int,
) -> None:
    """Every fixed action averages 0.45; the right one for each cluster averages 0.9."""

    def quality(action: str, kind: int) -> float:
        return 0.9 if action == f"a{kind % 2}" else 0.0 if action != "a2" else 0.45

    assert taught(fresh(seed=seed), quality, 500, seed) > 0.7


@pytest.mark.parametrize("seed", range(3))
def test_adaptive_without_contextual_signal_settles_on_the_best_action(seed: int) -> None:
    def quality(action: str, _kind: int) -> float:
        return {"a0": 0.5, "a1": 0.9, "a2": 0.6}[action]

    policy = fresh(seed=seed)
    taught(policy, quality, 400, seed)
    rng = np.random.default_rng(seed)
    shares = [
        policy.decide(context(rng), actions(3), QUALITY_ONLY).probabilities for _ in range(50)
    ]
    assert np.mean([share["a1"] for share in shares]) > 0.9
    greedy = {max(share, key=share.__getitem__) for share in shares}
    assert greedy == {"a1"}


@pytest.mark.parametrize("thrifty", [True, False])
def test_an_action_far_behind_is_explored_less_when_thrifty(*, thrifty: bool) -> None:
    settings = replace(SETTINGS, thrifty=thrifty)
    policy = fresh(settings)
    feed(policy, {"a0": 0.0, "a1": 1.0, "a2": 1.0}, 100)
    seen = context(np.random.default_rng(0))
    share = policy.decide(seen, actions(3), QUALITY_ONLY).probabilities["a0"]
    assert (share < settings.floor / 5) is thrifty
    assert share >= settings.floor * (LEAST_FLOOR if thrifty else 1) - 1e-12


def test_adaptive_follows_new_weights_at_once() -> None:
    policy = fresh()
    feed(policy, {"a0": 0.6, "a1": 0.7, "a2": 0.9}, 100)
    seen = context(np.random.default_rng(0))
    by_quality = policy.decide(seen, actions(3), QUALITY_ONLY).probabilities
    by_cost = policy.decide(seen, actions(3), replace(QUALITY_ONLY, cost=10.0)).probabilities
    assert by_quality["a2"] > 0.9
    assert by_cost["a0"] > 0.9


def test_adaptive_follows_a_new_price_at_once() -> None:
    """The cost head learns a multiple of the price, so nothing has to be learned again."""
    policy = fresh()
    feed(policy, {"a0": 0.8, "a1": 0.8, "a2": 0.8}, 60)
    seen, weights = context(np.random.default_rng(0)), replace(QUALITY_ONLY, cost=1.0)
    before = policy.decide(seen, actions(3), weights).estimates["a0"].cost_usd
    dearer = [replace(actions(3)[0], prior_cost_usd=0.05), *actions(3)[1:]]
    decision = policy.decide(seen, dearer, weights)
    assert decision.estimates["a0"].cost_usd == pytest.approx(50 * before)
    assert decision.probabilities["a0"] < 0.01


def test_latency_and_failure_change_the_choice_when_weighed() -> None:
    policy, rng = fresh(), np.random.default_rng(2)
    slow, shaky, steady = actions(3)
    for _ in range(60):
        for action, ms, failed in ((slow, 9e3, False), (shaky, 3e2, True), (steady, 3e2, False)):
            seen = context(rng)
            given = replace(outcome(action, seen, 0.8), latency_ms=ms, failed=failed)
            policy.learn([given])
    seen = context(rng)
    decision = policy.decide(seen, actions(3), Weights(1.0, 0.0, latency=1.0, failure=1.0))
    estimates = decision.estimates
    assert estimates[slow.name].latency_ms == pytest.approx(9_000, rel=0.2)
    assert estimates[steady.name].latency_ms == pytest.approx(300, rel=0.2)
    assert estimates[shaky.name].failure > 0.9
    assert estimates[steady.name].failure < 0.1
    assert decision.probabilities[steady.name] > 0.9


def test_cost_is_expected_in_context() -> None:
    """One action costs four times as much in one cluster; the others stay apart from it."""
    policy, rng, action = fresh(), np.random.default_rng(3), actions(1)[0]
    for _ in range(300):
        kind = int(rng.integers(4))
        spent = action.prior_cost_usd * (4.0 if kind == 0 else 1.0) * rng.lognormal(0, 0.2)
        policy.learn([replace(outcome(action, context(rng, kind), 0.5), cost_usd=spent)])

    def expected(kind: int) -> float:
        seen = context(np.random.default_rng(4), kind)
        return policy.decide(seen, [action], Weights()).estimates["a0"].cost_usd

    assert expected(0) == pytest.approx(4 * action.prior_cost_usd, rel=0.3)
    assert expected(1) == pytest.approx(action.prior_cost_usd, rel=0.3)


def test_adaptive_after_the_cold_start_decides_by_estimates() -> None:
    policy = fresh(replace(SETTINGS, cold_start="a0"))
    feed(policy, {"a0": 0.1, "a1": 0.1, "a2": 1.0}, 40)
    seen = context(np.random.default_rng(0))
    shares = policy.decide(seen, actions(3), QUALITY_ONLY).probabilities
    assert shares["a2"] > 0.9


def test_unjudged_calls_end_the_blind_exploration() -> None:
    settings = replace(SETTINGS, cold_start="a0")
    policy, rng = fresh(settings), np.random.default_rng(5)
    for _ in range(400):
        for action in actions(3):
            policy.learn([replace(outcome(action, context(rng), 0.0), quality=None)])
    shares = policy.decide(context(rng), actions(3), Weights()).probabilities
    assert shares["a0"] > 0.95


@pytest.mark.slow
def test_a_silent_drop_of_the_best_action_changes_the_choice() -> None:
    """Without change detection the old evidence would outweigh the new for hundreds of requests."""

    def after_drop(settings: PolicySettings) -> float:
        policy = fresh(settings)
        taught(policy, lambda action, _: 0.9 if action == "a0" else 0.75, 800)
        late = lambda action, _: 0.3 if action == "a0" else 0.75  # noqa: E731 - local
        return taught(policy, late, 150, seed=1)

    watching = after_drop(SETTINGS)
    assert watching > 0.6
    assert watching > after_drop(replace(SETTINGS, detect_changes=False)) + 0.1


def test_explored_is_true_when_the_choice_is_not_the_best_by_mean() -> None:
    policy = fresh()
    feed(policy, {"a0": 0.5, "a1": 0.6, "a2": 0.55}, 20)
    rng = np.random.default_rng(6)
    seen = set()
    for _ in range(100):
        decision = policy.decide(context(rng), actions(3), QUALITY_ONLY)
        best = max(decision.estimates, key=lambda name: decision.estimates[name].utility)
        assert decision.explored == (decision.action != best)
        seen.add(decision.explored)
    assert seen == {True, False}


@pytest.mark.parametrize(
    "heads", [frozenset[str](), frozenset({"quality", "cost", "latency", "failure"})]
)
def test_any_set_of_heads_may_have_an_advisor(heads: frozenset[str]) -> None:
    settings = replace(SETTINGS, vw=heads)
    policy = fresh(settings)
    feed(policy, {"a0": 0.2, "a1": 0.9, "a2": 0.2}, 60)
    twin = load_policy(policy.save(), settings, VERSION)
    seen = context(np.random.default_rng(0))
    decision = policy.decide(seen, actions(3), Weights())
    assert decision == twin.decide(seen, actions(3), Weights())
    assert decision.probabilities["a1"] > 0.5


def test_an_action_that_left_the_replay_buffer_gets_no_advice() -> None:
    """Only actions of the last outcomes are centred over; others get no advice, not an error."""
    settings = replace(SETTINGS, replay=10)
    policy, rng = fresh(settings), np.random.default_rng(7)
    for action in [Action("gone", 0.001)] * 3 + actions(2) * 12:
        policy.learn([outcome(action, context(rng), 0.5)])
    choices = [Action("gone", 0.001), Action("new", 0.001), *actions(2)]
    decision = policy.decide(context(rng), choices, Weights())
    assert len(decision.probabilities) == 4


def test_a_snapshot_without_an_array_is_refused() -> None:
    policy = fresh()
    feed(policy, {"a0": 0.2, "a1": 0.9, "a2": 0.2}, 10)
    good = unpack(policy.save())
    holed = {name: array.copy() for name, array in good.arrays.items()}
    holed["quality.moment"][0, 0] = np.nan
    with pytest.raises(CorruptSnapshot, match="non-finite"):
        load_policy(pack(replace(good, arrays=holed)), SETTINGS, VERSION)


@pytest.mark.parametrize(
    "name",
    ["quality.gram", "cost.sums", "quality.vw.slots", "quality.vw.added", "change.cost.seen"],
)
def test_a_snapshot_with_an_impossible_array_is_refused(name: str) -> None:
    policy = fresh()
    feed(policy, {"a0": 0.2, "a1": 0.9, "a2": 0.2}, 10)
    good = unpack(policy.save())
    lacking = {key: array for key, array in good.arrays.items() if key != name}
    shorter = dict(good.arrays) | {name: good.arrays[name][:-1]}
    for arrays in (lacking, shorter):
        with pytest.raises(CorruptSnapshot):
            load_policy(pack(replace(good, arrays=arrays)), SETTINGS, VERSION)


def test_a_snapshot_whose_model_vw_cannot_read_is_refused() -> None:
    policy = fresh()
    feed(policy, {"a0": 0.2, "a1": 0.9, "a2": 0.2}, 10)
    good = unpack(policy.save())
    for model in (np.zeros(900, dtype=np.uint8), good.arrays["quality.vw.model"][:40]):
        arrays = dict(good.arrays) | {"quality.vw.model": model}
        with pytest.raises(CorruptSnapshot, match="Vowpal Wabbit"):
            load_policy(pack(replace(good, arrays=arrays)), SETTINGS, VERSION)


@pytest.mark.parametrize(
    "meta", [{"actions": [1]}, {"learned": -1}, {"rng": {}}, {"actions": ["a", "a"]}]
)
def test_a_snapshot_with_a_senseless_header_is_refused(meta: dict[str, object]) -> None:
    good = unpack(fresh().save())
    forged = Snapshot(good.kind, dict(good.meta) | meta, good.arrays)
    with pytest.raises(CorruptSnapshot):
        load_policy(pack(forged), SETTINGS, VERSION)


def test_units_scale_the_cost_in_the_utility() -> None:
    """A cost weight is per unit: ten times the unit, a tenth of the pressure."""
    policy = fresh(replace(SETTINGS, units=Units(cost_usd=0.1)))
    seen = context(np.random.default_rng(0))
    estimate = policy.decide(seen, actions(1), Weights(1.0, 1.0, 0.0, 0.0)).estimates["a0"]
    assert estimate.utility == pytest.approx(0.75 - 0.001 / 0.1)
