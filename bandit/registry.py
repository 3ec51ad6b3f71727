"""Policies by name, fresh or from a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import numpy as np

from bandit.adaptive import policy as adaptive
from bandit.errors import AbsurdSnapshot, CorruptSnapshot, UnknownPolicy, VersionMismatch
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
from bandit.policies.sanity_check import check_answers, probes
from bandit.settings import PolicySettings
from bandit.snapshots.codec import Snapshot, unpack
from bandit.snapshots.manifest import check_manifest
from bandit.snapshots.random_state import generator_of
from bandit.types import Context, Policy


class _Restorable(Policy, Protocol):
    def restore(self, snapshot: Snapshot) -> None: ...

    def is_sound(self) -> bool: ...

    def is_sane(self, context: Context) -> bool: ...


_Make = Callable[[str, PolicySettings, str, np.random.Generator], _Restorable]


def _adaptive(
    _name: str, settings: PolicySettings, context_version: str, rng: np.random.Generator
) -> _Restorable:
    return adaptive.AdaptivePolicy(settings, context_version, rng)


_MAKERS: Final[Mapping[str, _Make]] = {
    adaptive.NAME: _adaptive,
    fixed.NAME: fixed.FixedPolicy,
    random_mix.NAME: random_mix.RandomMixPolicy,
    length.NAME: length.LengthPolicy,
    rules.NAME: rules.RulesPolicy,
    intent.NAME: intent.IntentPolicy,
    pair_classifier.NAME: pair_classifier.PairClassifierPolicy,
    cluster_table.NAME: cluster_table.ClusterTablePolicy,
    knn.NAME: knn.KnnPolicy,
    thompson.NAME: thompson.ThompsonPolicy,
    linucb.NAME: linucb.LinucbPolicy,
    **dict.fromkeys(EXPLORER_NAMES, explorers.ExplorerPolicy),
}
POLICY_NAMES: Final = tuple(_MAKERS)


def make_policy(
    name: str,
    settings: PolicySettings,
    context_version: str,
    rng: np.random.Generator,
) -> Policy:
    """A policy that has learned nothing.

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
    rng: np.random.Generator | None = None,
    *,
    name: str | None = None,
) -> Policy:
    """The policy whose `save` gave `payload`.

    rng: None to go on with the saved random source, bit for bit; replicas that serve the same
    snapshot give each its own, or they all explore alike. name: refuse any other policy.

    Raises:
        CorruptSnapshot: damaged, truncated, or holding a non-finite number.
        VersionMismatch: of another format, context map, policy, or structural settings.
        AbsurdSnapshot: what it answers to a few stored questions can't have been learned.

    """
    snapshot = unpack(payload)
    if name is not None and snapshot.kind != name:
        raise VersionMismatch(
            f"the snapshot is of policy {snapshot.kind!r}, the settings say {name!r}; "
            "change the setting back, or start a new policy"
        )
    check_manifest(snapshot.meta, settings, context_version)
    try:
        source = generator_of(snapshot.meta["rng"])
        policy = _make(snapshot.kind, settings, context_version, rng or source)
        policy.restore(snapshot)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, np.linalg.LinAlgError):
        raise CorruptSnapshot("the snapshot's parts do not fit; go back to an older one") from None
    if not policy.is_sound():
        raise CorruptSnapshot("the snapshot predicts non-finite numbers; go back to an older one")
    _probe(policy, snapshot, settings, source if rng is None else None)
    return policy


def _probe(
    policy: _Restorable,
    snapshot: Snapshot,
    settings: PolicySettings,
    source: np.random.Generator | None,
) -> None:
    """source: whose state must be what it was; None for one that may be drawn from."""
    state = None if source is None else source.bit_generator.state
    names = [*snapshot.meta["actions"], ""]
    asked = probes(settings.shape, snapshot.meta["context_version"])
    if not all(policy.is_sane(context) for context in asked):
        raise AbsurdSnapshot("the snapshot is far off all bounds; go back to an older one")
    check_answers(policy, names, asked, settings.weights)
    if source is not None and state is not None:
        source.bit_generator.state = state


def _make(
    name: str, settings: PolicySettings, context_version: str, rng: np.random.Generator
) -> _Restorable:
    make = _MAKERS.get(name)
    if make is None:
        raise UnknownPolicy(f"no policy {name!r}; choose one of {', '.join(POLICY_NAMES)}")
    return make(name, settings, context_version, rng)
