"""Where no prompt is known of every action, the start is nearly as safe as without context."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from streams import QUALITY_ONLY, SETTINGS, VERSION, actions, context, outcome, taught

from bandit import Action, Outcome, Policy, Weights, load_policy, make_policy
from bandit.settings import EvidenceUse
from bandit.snapshots.codec import unpack

PLAIN = replace(SETTINGS, trees=0, vw=frozenset())
AT_ONCE = EvidenceUse(ramp=0.0, cold_joint=0.0)
"""All of what a prompt tells is believed from the first outcome on, and costs by themselves."""
WEIGHTS = Weights(quality=1.0, cost=0.3, latency=0.0, failure=0.0)
STEADY, MOODY = Action("steady", 0.002), Action("moody", 0.005)
QUALITY = {"steady": (0.9, 0.9, 0.78, 0.78), "moody": (0.78, 0.78, 0.93, 0.93)}
COST_USD = {"steady": (0.002, 0.002, 0.002, 0.002), "moody": (0.0005, 0.0005, 0.0095, 0.0095)}
"""By cluster. Where the moody action is good it is dear, and nowhere does it pay."""
BEHIND = 0.005


def fresh(name: str = "adaptive", use: EvidenceUse | None = None, seed: int = 1) -> Policy:
    settings = replace(PLAIN, evidence=use or EvidenceUse())
    return make_policy(name, settings, VERSION, np.random.default_rng(seed))


def lost(policy: Policy, requests: int, seed: int) -> float:
    """Returns the mean utility expected of its choices, less that of the steady action."""
    rng, total = np.random.default_rng(seed), 0.0
    for _ in range(requests):
        kind = int(rng.integers(4))
        seen = context(rng, kind)
        decision = policy.decide(seen, [STEADY, MOODY], WEIGHTS)
        worth = {a: QUALITY[a][kind] - 0.3 * COST_USD[a][kind] / 0.01 for a in QUALITY}
        total += sum(p * worth[a] for a, p in decision.probabilities.items()) - worth["steady"]
        chosen = STEADY if decision.action == "steady" else MOODY
        quality = float(np.clip(QUALITY[chosen.name][kind] + rng.normal() * 0.12, 0, 1))
        cost_usd = COST_USD[chosen.name][kind] * float(rng.lognormal(-0.02, 0.2))
        policy.learn([Outcome(chosen, seen, decision.propensity, quality, cost_usd)])
    return total / requests


def test_a_cold_start_loses_little_more_than_one_without_context() -> None:
    """With either part left out, or both, it loses twice to six times as much."""
    starts = range(4)
    plain = np.mean([lost(fresh("thompson", seed=s), 300, s) for s in starts])
    ours = np.mean([lost(fresh(seed=s), 300, s) for s in starts])
    at_once = np.mean([lost(fresh(use=AT_ONCE, seed=s), 300, s) for s in starts])
    assert ours > plain - BEHIND
    assert at_once < plain - BEHIND


def test_a_prompt_tells_little_at_first_and_more_with_outcomes() -> None:
    """Differences of a tenth; larger ones are believed sooner."""

    def quality(action: str, kind: int) -> float:
        return 0.9 if action == f"a{kind % 2}" else 0.8

    def difference(policy: Policy) -> float:
        """Returns by how much the expectations of an action differ between two clusters."""
        rng = np.random.default_rng(5)
        seen = [context(rng, kind) for kind in (0, 1)]
        found = [policy.decide(one, actions(2), QUALITY_ONLY).estimates["a0"] for one in seen]
        return found[0].quality - found[1].quality

    policy, bold = fresh(), fresh(use=AT_ONCE)
    rng, told = np.random.default_rng(6), []
    for rounds in (20, 200, 2_000):
        for _ in range(rounds):
            kind = int(rng.integers(4))
            for action in actions(2):
                given = outcome(action, context(rng, kind), quality(action.name, kind))
                policy.learn([given])
                bold.learn([given])
        told.append(difference(policy) / difference(bold))
    assert 0 < told[0] < told[1] < told[2]
    assert told[0] < 0.5
    assert told[2] > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_a_large_difference_is_believed_soon(seed: int) -> None:
    def quality(action: str, kind: int) -> float:
        return 0.95 if action == f"a{kind % 2}" else 0.2

    assert taught(fresh(seed=seed), quality, 150, seed, actions(2)) > 0.75


def test_a_snapshot_of_a_version_without_joint_costs_goes_on() -> None:
    """Costs go on to be learned by themselves, so that nothing that it holds of them is lost."""
    old, rng = fresh(use=EvidenceUse(cold_joint=0.0)), np.random.default_rng(7)
    for _ in range(40):
        for action in actions(2):
            old.learn([outcome(action, context(rng), float(rng.random() < 0.7))])
    policy = load_policy(old.save(), PLAIN, VERSION)
    assert policy.save() == old.save()
    seen = context(rng)
    for each in (old, policy):
        each.learn([outcome(actions(2)[0], seen, 0.7)])
    assert policy.save() == old.save()
    told = [each.decide(seen, actions(2), WEIGHTS).estimates for each in (old, policy)]
    assert told[0] == told[1]


def test_costs_learned_beside_quality_are_kept() -> None:
    policy, rng = fresh(), np.random.default_rng(8)
    for _ in range(41):
        policy.learn([outcome(actions(2)[0], context(rng), float(rng.random() < 0.7))])
    assert any(name.endswith("beside") for name in unpack(policy.save()).arrays)
    loaded, seen = load_policy(policy.save(), PLAIN, VERSION), context(rng)
    for each in (policy, loaded):
        each.learn([outcome(actions(2)[1], seen, 0.9)])
    assert loaded.save() == policy.save()
    told = [each.decide(seen, actions(2), WEIGHTS).probabilities for each in (policy, loaded)]
    assert told[0] == told[1]
