"""Where no prompt is known of every action, costs are learned beside quality from the start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from streams import SETTINGS, VERSION, actions, context, outcome

from bandit import Action, Outcome, Policy, Weights, load_policy, make_policy
from bandit.settings import EvidenceUse
from bandit.snapshots.codec import unpack

PLAIN = replace(SETTINGS, trees=0, vw=frozenset())
APART = EvidenceUse(cold_joint=0.0)
"""Costs are learned by themselves."""
WEIGHTS = Weights(quality=1.0, cost=0.3, latency=0.0, failure=0.0)
STEADY, MOODY = Action("steady", 0.002), Action("moody", 0.005)
QUALITY = {"steady": (0.9, 0.9, 0.78, 0.78), "moody": (0.78, 0.78, 0.93, 0.93)}
COST_USD = {"steady": (0.002, 0.002, 0.002, 0.002), "moody": (0.0005, 0.0005, 0.0095, 0.0095)}
"""By cluster. Where the moody action is good it is dear, and nowhere does it pay."""


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


def test_a_cold_start_loses_less_where_costs_are_shrunk_as_quality_is() -> None:
    starts = range(4)
    joint = np.mean([lost(fresh(seed=s), 300, s) for s in starts])
    apart = np.mean([lost(fresh(use=APART, seed=s), 300, s) for s in starts])
    assert joint > apart + 0.002


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
