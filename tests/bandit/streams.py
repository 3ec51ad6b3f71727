"""Synthetic contexts, actions and outcomes, seeded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bandit import Action, Context, ContextShape, Outcome, Policy, PolicySettings, Units, Weights
from bandit.choice import LEAST_FLOOR
from bandit.context.conditions import Bound
from bandit.policies.fixed import FixedOptions
from bandit.policies.intent import IntentOptions
from bandit.policies.knn import KnnOptions
from bandit.policies.length import LengthOptions, Tier
from bandit.policies.pair_classifier import PairClassifierOptions
from bandit.policies.random_mix import RandomMixOptions
from bandit.policies.rules import Rule, RulesOptions

SHAPE = ContextShape(clusters=4, axes=3, features=2)
VERSION = "v1"
QUALITY_ONLY = Weights(quality=1.0, cost=0.0, latency=0.0, failure=0.0)
HEURISTICS = frozenset({"fixed", "random-mix", "length", "rules", "intent"})
"""Policies that do not learn whom to choose."""
CENTRES = np.array([[0.7, 0.0, 0.0], [0.0, 0.7, 0.0], [0.0, 0.0, 0.7], [-0.7, -0.7, -0.7]])
"""The centres of the clusters of prompts."""


def actions(count: int) -> list[Action]:
    return [Action(f"a{j}", 0.001 * (j + 1)) for j in range(count)]


def context(rng: np.random.Generator, kind: int | None = None) -> Context:
    """kind: the cluster the prompt mostly belongs to; random when None."""
    kind = int(rng.integers(SHAPE.clusters)) if kind is None else kind
    membership = np.full(SHAPE.clusters, 0.1 / (SHAPE.clusters - 1))
    membership[kind] = 0.9
    return Context(
        membership=membership,
        projection=CENTRES[kind] + rng.normal(size=SHAPE.axes) * 0.5,
        features=rng.uniform(-1, 1, size=SHAPE.features),
        version=VERSION,
    )


def outcome(action: Action, seen: Context, quality: float, propensity: float = 0.5) -> Outcome:
    return Outcome(
        action=action,
        context=seen,
        propensity=propensity,
        quality=quality,
        cost_usd=action.prior_cost_usd * 1.5,
        latency_ms=400.0,
        failed=False,
    )


def example(*projection: float) -> Context:
    """A context with this projection and nothing else that matters."""
    return Context(np.full(SHAPE.clusters, 0.25), np.array(projection), np.zeros(2), VERSION)


EXAMPLES = {"a1": (example(1, 0, 0),), "a2": (example(0, 1, 0), example(0, 0, 1))}
OPTIONS = (
    FixedOptions("a1"),
    RandomMixOptions({"a0": 3.0, "a1": 2.0, "a2": 1.0}),
    LengthOptions((Tier("a0"), Tier("a1", -0.3), Tier("a2", 0.3))),
    RulesOptions(
        (
            Rule("a1", (Bound(0, low=0.3), Bound(1, high=0.0))),
            Rule("a2", (Bound(1, low=0.3),)),
        ),
        default="a0",
    ),
    IntentOptions(EXAMPLES, default="a0"),
    KnnOptions(neighbours=10, memory=200, shrink=3.0),
    PairClassifierOptions(("a0", "a1"), trees=8, refit_every=60, memory=240),
)
SETTINGS = PolicySettings(units=Units(cost_usd=0.01), shape=SHAPE, options=OPTIONS)


def instead(*options: object) -> tuple[object, ...]:
    """Returns `OPTIONS` with others in place of those of the same type."""
    kept = (each for each in OPTIONS if type(each) not in {type(other) for other in options})
    return (*options, *kept)


def least_share(policy: str) -> float:
    """Return the least share that the policy leaves every eligible action."""
    thrifty = policy == "adaptive" and SETTINGS.thrifty
    return SETTINGS.floor * (LEAST_FLOOR if thrifty else 1)


def taught(
    policy: Policy,
    quality: Callable[[str, int], float],
    rounds: int,
    seed: int = 0,
    choices: Sequence[Action] | None = None,
) -> float:
    """Let it decide and learn; quality(action, kind) is a mean. Returns the mean quality."""
    rng = np.random.default_rng(seed)
    choices = choices or actions(3)
    total = 0.0
    for _ in range(rounds):
        kind = int(rng.integers(SHAPE.clusters))
        seen = context(rng, kind)
        decision = policy.decide(seen, choices, QUALITY_ONLY)
        mean = quality(decision.action, kind)
        drawn = float(rng.random() < mean)
        chosen = next(a for a in choices if a.name == decision.action)
        policy.learn([outcome(chosen, seen, drawn, decision.propensity)])
        total += mean
    return total / rounds
