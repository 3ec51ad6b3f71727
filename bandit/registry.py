"""Policies by name, fresh or from a snapshot."""

from __future__ import annotations

from typing import Final

import numpy as np

from bandit.errors import CorruptSnapshot, UnknownPolicy, VersionMismatch
from bandit.manifest import check_manifest
from bandit.policies import adaptive, explorers
from bandit.random_state import generator_of
from bandit.settings import PolicySettings
from bandit.snapshot import unpack
from bandit.types import Policy
from bandit.vw import EXPLORER_NAMES

POLICY_NAMES: Final = (adaptive.NAME, *EXPLORER_NAMES)


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
    return policy


def _make(
    name: str, settings: PolicySettings, context_version: str, rng: np.random.Generator
) -> adaptive.AdaptivePolicy | explorers.ExplorerPolicy:
    if name == adaptive.NAME:
        return adaptive.AdaptivePolicy(settings, context_version, rng)
    if name in EXPLORER_NAMES:
        return explorers.ExplorerPolicy(name, settings, context_version, rng)
    raise UnknownPolicy(f"no policy {name!r}; choose one of {', '.join(POLICY_NAMES)}")
