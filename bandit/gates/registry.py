"""Gates by name, fresh or from a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from bandit.errors import CorruptSnapshot, UnknownPolicy, VersionMismatch
from bandit.gates import learned, plain
from bandit.gates.base import SnapshotGate, structure
from bandit.gates.settings import GateSettings
from bandit.gates.types import Gate
from bandit.snapshots.codec import unpack
from bandit.snapshots.random_state import generator_of

_Make = Callable[[str, GateSettings, str, np.random.Generator], SnapshotGate]
_MAKERS: Final[Mapping[str, _Make]] = {
    learned.NAME: learned.LearnedGate,
    plain.AGREEMENT: plain.AgreementGate,
    plain.RULES: plain.RulesGate,
}
GATE_NAMES: Final = tuple(_MAKERS)


def make_gate(
    name: str, settings: GateSettings, context_version: str, rng: np.random.Generator
) -> Gate:
    """A gate that has learned nothing.

    context_version: `ContextMap.version` of the contexts it will see.
    rng: from `numpy.random.default_rng`; the gate draws every choice from it.

    Raises:
        UnknownPolicy: the name is not in `GATE_NAMES`.
        BadSettings: another kind of random source.

    """
    return _make(name, settings, context_version, rng)


def load_gate(
    payload: bytes,
    settings: GateSettings,
    context_version: str,
    rng: np.random.Generator | None = None,
    *,
    name: str | None = None,
) -> Gate:
    """The gate whose `save` gave `payload`.

    rng: None to go on with the saved random source, bit for bit. name: refuse any other gate.

    Raises:
        CorruptSnapshot: damaged, truncated, or holding a non-finite number.
        VersionMismatch: of another format, context map, signals, gate, or structural settings.

    """
    snapshot = unpack(payload)
    if name is not None and snapshot.kind != name:
        raise VersionMismatch(
            f"the snapshot is of gate {snapshot.kind!r}, the settings say {name!r}; "
            "change the setting back, or start a new gate"
        )
    _check_meta(snapshot.meta, settings, context_version)
    try:
        source = generator_of(snapshot.meta["rng"])
        gate = _make(snapshot.kind, settings, context_version, rng or source)
        gate.restore(snapshot)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, np.linalg.LinAlgError):
        raise CorruptSnapshot("the snapshot's parts do not fit; go back to an older one") from None
    return gate


def _check_meta(meta: Mapping[str, Any], settings: GateSettings, context_version: str) -> None:
    wanted = {"context_version": context_version, **structure(settings)}
    saved, version = meta.get("signals_version"), settings.signals_version
    if version and saved:
        wanted["signals_version"] = version
    for key, value in wanted.items():
        if meta.get(key) != value:
            raise VersionMismatch(
                f"the snapshot was learned with {key} = {str(meta.get(key))[:80]!r}, this program "
                f"uses {value!r}; go back to that, or start a new gate"
            )
    learned = meta.get("learned")
    if not isinstance(saved, str) or not isinstance(learned, int) or learned < 0:
        raise CorruptSnapshot("the snapshot's header makes no sense; go back to an older one")


def _make(
    name: str, settings: GateSettings, context_version: str, rng: np.random.Generator
) -> SnapshotGate:
    make = _MAKERS.get(name)
    if make is None:
        raise UnknownPolicy(f"no gate {name!r}; choose one of {', '.join(GATE_NAMES)}")
    return make(name, settings, context_version, rng)
