"""No policy stumbles over odd contexts, lopsided logs or very many outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from streams import SETTINGS, SHAPE, VERSION, actions, context, instead, least_share, outcome

from bandit import POLICY_NAMES, Action, Context, Outcome, Policy, Weights, load_policy, make_policy
from bandit.adaptive.trees import MEMORY
from bandit.policies.fixed import FixedOptions
from bandit.policies.knn import KnnOptions
from bandit.policies.pair_classifier import PairClassifierOptions
from bandit.policies.rules import RulesOptions
from bandit.snapshots.codec import Snapshot, pack, unpack

pytestmark = pytest.mark.parametrize("name", POLICY_NAMES)
SMALL = replace(SETTINGS, replay=150, initial_pulls=2)
MANY = 1e4
EXTENSIVE = {"sums", "counts", "gram", "moment", "square", "count"}
"""Statistics that grow with the number of outcomes."""


def fresh(name: str, seed: int = 1) -> Policy:
    return make_policy(name, SMALL, VERSION, np.random.default_rng(seed))


def is_honest(policy: Policy, seen: Context, choices: Sequence[Action]) -> bool:
    """Every probability is there, above the floor, and finite; every estimate is finite."""
    decision = policy.decide(seen, choices, Weights(latency=0.1))
    shares = np.array(list(decision.probabilities.values()))
    numbers = [
        (e.quality, e.cost_usd, e.latency_ms, e.failure, e.utility)
        for e in decision.estimates.values()
    ]
    least = min(least_share(policy.name), 0.5 / len(choices)) - 1e-12
    return bool(
        len(shares) == len(choices)
        and np.isfinite(shares).all()
        and abs(shares.sum() - 1) < 1e-9
        and shares.min() >= least
        and np.isfinite(numbers).all()
    )


def fed(policy: Policy, rounds: int, choices: Sequence[Action], seed: int = 3) -> None:
    rng = np.random.default_rng(seed)
    for step in range(rounds):
        seen, action = context(rng), choices[step % len(choices)]
        policy.learn([outcome(action, seen, float(rng.random() < 0.6))])


def test_policies_learn_with_a_single_cluster(name: str) -> None:
    """Every prompt belongs to the same cluster, wholly, and looks like every other."""
    policy = fresh(name)
    same = Context(np.eye(SHAPE.clusters)[1], np.zeros(SHAPE.axes), np.zeros(2), VERSION)
    for step in range(200):
        action = actions(3)[step % 3]
        policy.learn([outcome(action, same, float(step % 2))])
    assert is_honest(policy, same, actions(3))
    assert is_honest(policy, context(np.random.default_rng(0)), actions(3))


def test_policies_learn_from_a_context_of_zeros(name: str) -> None:
    policy = fresh(name)
    empty = Context(np.zeros(SHAPE.clusters), np.zeros(SHAPE.axes), np.zeros(2), VERSION)
    policy.learn([outcome(action, empty, 0.5) for action in actions(3) * 30])
    assert is_honest(policy, empty, actions(3))


@pytest.mark.parametrize("never", [0, 2])
def test_policies_keep_an_action_that_is_never_chosen(name: str, never: int) -> None:
    policy, rng = fresh(name), np.random.default_rng(4)
    others = [action for j, action in enumerate(actions(3)) if j != never]
    fed(policy, 240, others)
    assert all(is_honest(policy, context(rng), actions(3)) for _ in range(10))
    twin = load_policy(policy.save(), SMALL, VERSION)
    seen = context(rng)
    assert twin.decide(seen, actions(3), Weights()) == policy.decide(seen, actions(3), Weights())


@pytest.mark.parametrize("quality", [0.0, 1.0])
def test_policies_stay_honest_when_all_outcomes_are_equal(name: str, quality: float) -> None:
    policy, rng = fresh(name), np.random.default_rng(5)
    for action in actions(3) * 80:
        policy.learn([Outcome(action, context(rng), 0.5, quality, 0.001, 10.0, failed=False)])
    assert all(is_honest(policy, context(rng), actions(3)) for _ in range(10))


@pytest.mark.parametrize("count", [1, 12])
def test_policies_choose_among_one_action_and_a_dozen(name: str, count: int) -> None:
    policy, rng = fresh(name), np.random.default_rng(6)
    assert is_honest(policy, context(rng), actions(count))
    fed(policy, 240, actions(count))
    assert all(is_honest(policy, context(rng), actions(count)) for _ in range(10))
    assert load_policy(policy.save(), SMALL, VERSION).learned == 240


def test_policies_stay_honest_after_enormous_amounts(name: str) -> None:
    """Finite, so not refused; a price far too small makes the ratio overflow besides."""
    policy, rng = fresh(name), np.random.default_rng(7)
    cheap = [replace(action, prior_cost_usd=1e-300) for action in actions(3)]
    for action in cheap * 30:
        policy.learn([Outcome(action, context(rng), 1e-9, 1.0, 1e308, 1e308, failed=True)])
    assert is_honest(policy, context(rng), actions(3))
    assert load_policy(policy.save(), SMALL, VERSION).learned == 90


@pytest.mark.slow
def test_policy_state_stays_within_bounds(name: str) -> None:
    """The state is no larger after twice as many outcomes (trees vary by some nodes)."""
    policy, full = fresh(name), MEMORY + 64 if name == "adaptive" else 1_280
    fed(policy, full, actions(3))
    before = size(policy)
    fed(policy, full, actions(3), seed=8)
    assert size(policy) < 1.1 * before
    assert is_honest(policy, context(np.random.default_rng(0)), actions(3))


def test_policies_go_on_after_a_million_outcomes(name: str) -> None:
    """Statistics as after 10^6 outcomes: probabilities stay finite, and it can learn on."""
    policy, rng = fresh(name), np.random.default_rng(9)
    fed(policy, 300, actions(3))
    snapshot = unpack(policy.save())
    grown = {key: multiplied(key, array) for key, array in snapshot.arrays.items()}
    old = load_policy(pack(Snapshot(snapshot.kind, snapshot.meta, grown)), SMALL, VERSION)
    assert all(is_honest(old, context(rng), actions(3)) for _ in range(10))
    fed(old, 100, actions(3))
    assert all(is_honest(old, context(rng), actions(3)) for _ in range(10))
    assert load_policy(old.save(), SMALL, VERSION).learned == 400


def test_options_may_change_between_snapshots(name: str) -> None:
    """Other rules, sizes and weights do not cost what was learned."""
    policy, rng = fresh(name), np.random.default_rng(10)
    fed(policy, 500, actions(3))
    payload = policy.save()
    for memory in (37, 900):
        options = instead(
            FixedOptions("a2"),
            RulesOptions((), default="a0"),
            KnnOptions(neighbours=10, memory=memory, shrink=3.0),
            PairClassifierOptions(trees=8, refit_every=60, memory=memory),
        )
        changed = load_policy(payload, replace(SMALL, options=options), VERSION)
        assert changed.learned == 500
        fed(changed, 60, actions(3))
        assert is_honest(changed, context(rng), actions(3))


def size(policy: Policy) -> int:
    return sum(array.nbytes for array in unpack(policy.save()).arrays.values())


def multiplied(key: str, array: NDArray[np.float64]) -> NDArray[np.float64]:
    last = key.rsplit(".", 1)[-1]
    if last == "inverse":
        return array / MANY
    return array * MANY if last in EXTENSIVE else array
