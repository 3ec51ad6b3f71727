"""Policies by name, fresh or from a snapshot."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.random import Generator

from bandit.adaptive import policy as adaptive
from bandit.errors import AbsurdSnapshot, CorruptSnapshot, UnknownPolicy
from bandit.models.running_means import MOST_RATIO
from bandit.models.vowpal_wabbit import EXPLORER_NAMES
from bandit.policies import (
    cluster_table,
    explorers,
    fixed,
    intent,
    knn,
    length,
    linucb,
    pair_classifier,
    random_mix,
    rules,
    thompson,
)
from bandit.policies.snapshot_policy import SnapshotPolicy, check_manifest
from bandit.settings import ContextShape, PolicySettings
from bandit.snapshots.learner import load_learner
from bandit.types import Action, Context, Decision, Policy, Weights

_Make = Callable[[str, PolicySettings, str, Generator], SnapshotPolicy]

_POLICIES: Final[Mapping[str, tuple[_Make, type | None]]] = {
    adaptive.NAME: (adaptive.AdaptivePolicy, None),
    fixed.NAME: (fixed.FixedPolicy, fixed.FixedOptions),
    random_mix.NAME: (random_mix.RandomMixPolicy, random_mix.RandomMixOptions),
    length.NAME: (length.LengthPolicy, length.LengthOptions),
    rules.NAME: (rules.RulesPolicy, rules.RulesOptions),
    intent.NAME: (intent.IntentPolicy, intent.IntentOptions),
    pair_classifier.NAME: (
        pair_classifier.PairClassifierPolicy,
        pair_classifier.PairClassifierOptions,
    ),
    cluster_table.NAME: (cluster_table.ClusterTablePolicy, cluster_table.ClusterTableOptions),
    knn.NAME: (knn.KnnPolicy, knn.KnnOptions),
    thompson.NAME: (thompson.ThompsonPolicy, None),
    linucb.NAME: (linucb.LinucbPolicy, linucb.LinucbOptions),
    **dict.fromkeys(EXPLORER_NAMES, (explorers.ExplorerPolicy, None)),
}
POLICY_NAMES: Final = tuple(_POLICIES)
POLICY_OPTIONS: Final = {name: kind for name, (_, kind) in _POLICIES.items() if kind}
"""Type of the options of each policy that has some."""

MOST_COST: Final = MOST_RATIO * (1 + 1e-9)
"""Largest cost a policy can expect, as a multiple of the prior one: a mean of what is learned."""
_PRICE: Final = 1.0
_SUM: Final = 1e-6


def make_policy(
    name: str, settings: PolicySettings, context_version: str, rng: Generator
) -> Policy:
    """Make a policy that has learned nothing.

    Args:
        name: one of `POLICY_NAMES`.
        settings: read as far as the policy has a use for them.
        context_version: `ContextMap.version` of the contexts it will see.
        rng: from `numpy.random.default_rng`; the policy draws every choice from it.

    Raises:
        UnknownPolicy: the name is not in `POLICY_NAMES`.
        BadSettings: another kind of random source.

    """
    return _make(name, settings, context_version, rng)


def load_policy(
    payload: bytes,
    settings: PolicySettings,
    context_version: str,
    rng: Generator | None = None,
    *,
    name: str | None = None,
) -> Policy:
    """Restore the policy whose `save` gave `payload`.

    Args:
        payload: the snapshot.
        settings: of the policy that was saved.
        context_version: `ContextMap.version` of the contexts it will see.
        rng: None to go on with the saved random source, bit for bit; replicas that serve the same
            snapshot give each its own, or they all explore alike.
        name: refuse any other policy.

    Raises:
        CorruptSnapshot: damaged, truncated, or holding a non-finite number.
        VersionMismatch: of another format, context map, policy, or structural settings.
        AbsurdSnapshot: what it answers to a few stored questions can't have been learned.

    """
    policy = load_learner(
        payload,
        "policy",
        lambda meta: check_manifest(meta, settings, context_version),
        lambda kind, source: _make(kind, settings, context_version, source),
        rng=rng,
        name=name,
    )
    if not policy.is_sound():
        raise CorruptSnapshot("the snapshot predicts non-finite numbers; go back to an older one")
    state = policy.rng.bit_generator.state
    _check_answers(policy, settings, _probes(settings.shape, context_version))
    if rng is None:
        policy.rng.bit_generator.state = state
    return policy


def _make(
    name: str, settings: PolicySettings, context_version: str, rng: Generator
) -> SnapshotPolicy:
    if name not in _POLICIES:
        raise UnknownPolicy(f"no policy {name!r}; choose one of {', '.join(POLICY_NAMES)}")
    return _POLICIES[name][0](name, settings, context_version, rng)


def _probes(shape: ContextShape, version: str) -> list[Context]:
    """Return a blank context, and one in the middle of each cluster."""
    middles = [np.zeros(shape.clusters), *np.eye(shape.clusters)]
    axes, features = np.zeros(shape.axes), np.zeros(shape.features)
    return [Context(middle, axes, features, version) for middle in middles]


def _check_answers(
    policy: SnapshotPolicy, settings: PolicySettings, asked: Sequence[Context]
) -> None:
    """Ask a few questions before the policy serves: a checksum only says who wrote a snapshot.

    Raises AbsurdSnapshot.
    """
    if not all(policy.is_sane(context) for context in asked):
        raise _absurd("is far off all bounds")
    eligible = [Action(name, _PRICE) for name in (*policy.actions, "")]
    for context in asked:
        _check(_decided(policy, context, eligible, settings.weights))


def _decided(
    policy: SnapshotPolicy, context: Context, eligible: Sequence[Action], weights: Weights
) -> Decision:
    try:
        return policy.decide(context, eligible, weights)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError):
        raise _absurd("can't decide") from None


def _check(decision: Decision) -> None:
    shares = list(decision.probabilities.values())
    if not all(0 < share <= 1 for share in shares) or abs(math.fsum(shares) - 1) > _SUM:
        raise _absurd("gives probabilities that are none")
    for estimate in decision.estimates.values():
        if not 0 <= estimate.quality <= 1 or not 0 <= estimate.failure <= 1:
            raise _absurd("expects a quality or failure outside [0, 1]")
        if not 0 <= estimate.cost_usd <= MOST_COST * _PRICE:
            raise _absurd(f"expects a cost below 0 or above {MOST_RATIO:g} times the prior one")
        if not 0 <= estimate.latency_ms < math.inf:
            raise _absurd("expects no latency that could be")


def _absurd(what: str) -> AbsurdSnapshot:
    return AbsurdSnapshot(f"the snapshot {what}; go back to an older one")
