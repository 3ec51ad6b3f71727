"""The policies that learn improve over a stream."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from streams import (
    HEURISTICS,
    QUALITY_ONLY,
    SETTINGS,
    VERSION,
    actions,
    context,
    instead,
    outcome,
    taught,
)

from bandit import POLICY_NAMES, Action, Policy, Weights, make_policy
from bandit.policies.pair_classifier import PairClassifierOptions

LEARNERS = tuple(name for name in POLICY_NAMES if name not in HEURISTICS)
CONTEXT_FREE = {"thompson"}
CONTEXTUAL = tuple(name for name in LEARNERS if name not in CONTEXT_FREE)
UNPAIRED = replace(
    SETTINGS,
    options=instead(PairClassifierOptions(trees=8, refit_every=60, memory=240)),
)


def fresh(name: str, seed: int = 1) -> Policy:
    return make_policy(name, UNPAIRED, VERSION, np.random.default_rng(seed))


def by_kind(action: str, kind: int) -> float:
    return 0.9 if action == f"a{kind % 3}" else 0.3


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_without_evidence_prefer_the_cold_start_action(name: str) -> None:
    settings = replace(SETTINGS, cold_start="a1", thrifty=False)
    policy = make_policy(name, settings, VERSION, np.random.default_rng(12))
    seen = context(np.random.default_rng(13))
    shares = policy.decide(seen, actions(3), Weights()).probabilities
    assert shares["a1"] >= 0.5
    assert shares["a0"] == pytest.approx(shares["a2"], abs=0.2)
    for _ in range(settings.initial_pulls):
        policy.learn([outcome(actions(3)[0], seen, 0.5)])
    shares = policy.decide(seen, actions(3), Weights()).probabilities
    assert shares["a1"] >= 0.5
    assert shares["a0"] == pytest.approx(SETTINGS.floor)


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_try_a_newcomer(name: str) -> None:
    policy, rng = fresh(name), np.random.default_rng(6)
    taught(policy, by_kind, 100)
    newcomer = Action("late", 0.002)
    choices = [*actions(3), newcomer]
    tried = 0
    for _ in range(200):
        seen = context(rng)
        decision = policy.decide(seen, choices, QUALITY_ONLY)
        tried += decision.action == "late"
        chosen = next(a for a in choices if a.name == decision.action)
        policy.learn([outcome(chosen, seen, 0.6, decision.propensity)])
    assert tried >= SETTINGS.initial_pulls


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_beat_chance(name: str) -> None:
    """One of two actions is right for every prompt: chance yields 0.55."""
    quality = lambda action, _: 0.9 if action == "a1" else 0.2  # noqa: E731 - local
    yields = [taught(fresh(name, s), quality, 400, s, actions(2)) for s in range(3)]
    assert min(yields) > 0.7


@pytest.mark.parametrize("name", CONTEXTUAL)
def test_contextual_learners_tell_contexts_apart(name: str) -> None:
    """Every fixed action and every mix yields 0.5; the right one in each cluster 0.9."""

    def quality(action: str, kind: int) -> float:
        return 0.9 if (action == "a0") == (kind < 2) else 0.1

    policy = fresh(name)
    taught(policy, quality, 800, 1, actions(2))
    assert taught(policy, quality, 300, 2, actions(2)) > 0.6
