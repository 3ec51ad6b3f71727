"""What a snapshot says of itself besides its arrays, and whether it fits who loads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bandit.errors import CorruptSnapshot, VersionMismatch
from bandit.settings import MAX_ACTIONS, PolicySettings
from bandit.snapshots.random_state import state_of


def manifest(
    settings: PolicySettings,
    context_version: str,
    actions: Sequence[str],
    learned: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    return {
        "context_version": context_version,
        **_structure(settings),
        "actions": list(actions),
        "learned": learned,
        "rng": state_of(rng),
    }


def check_manifest(meta: Mapping[str, Any], settings: PolicySettings, context_version: str) -> None:
    """Raises VersionMismatch or CorruptSnapshot unless a policy so made can go on from it."""
    if meta.get("context_version") != context_version:
        raise VersionMismatch(
            f"the snapshot was learned with context map {meta.get('context_version')!r}, this "
            f"program uses {context_version!r}; serve with that map, or start a new policy"
        )
    for name, value in _structure(settings).items():
        if meta.get(name) != value:
            raise VersionMismatch(
                f"the snapshot was learned with {name} = {meta.get(name)!r}, the settings say "
                f"{value!r}; change the setting back, or start a new policy"
            )
    if not _is_sound(meta):
        raise CorruptSnapshot("the snapshot's header makes no sense; go back to an older one")


def _structure(settings: PolicySettings) -> dict[str, Any]:
    """The settings that decide what is stored."""
    shape = settings.shape
    return {
        "shape": [shape.clusters, shape.axes, shape.features],
        "vw": sorted(settings.vw),
        "replay": settings.replay,
        "trees": settings.trees > 0,
    }


def _is_sound(meta: Mapping[str, Any]) -> bool:
    actions, learned = meta.get("actions"), meta.get("learned")
    return (
        isinstance(actions, list)
        and len(actions) <= MAX_ACTIONS
        and all(isinstance(name, str) for name in actions)
        and len(set(actions)) == len(actions)
        and isinstance(learned, int)
        and learned >= 0
    )
