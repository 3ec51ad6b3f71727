"""Gates by name, fresh or from a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from numpy.random import Generator

from bandit.errors import UnknownPolicy, VersionMismatch
from bandit.gates import learned, plain
from bandit.gates.base import SnapshotGate, structure
from bandit.gates.types import Gate, GateSettings
from bandit.snapshots.learner import check_count, load_learner

_GATES: Final[Mapping[str, Callable[[str, GateSettings, str, Generator], SnapshotGate]]] = {
    learned.NAME: learned.LearnedGate,
    plain.AGREEMENT: plain.AgreementGate,
    plain.RULES: plain.RulesGate,
}
GATE_NAMES: Final = tuple(_GATES)


def make_gate(name: str, settings: GateSettings, context_version: str, rng: Generator) -> Gate:
    """Make a gate that has learned nothing.

    Args:
        name: one of `GATE_NAMES`.
        settings: read as far as the gate has a use for them.
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
    rng: Generator | None = None,
    *,
    name: str | None = None,
) -> Gate:
    """Restore the gate whose `save` gave `payload`.

    Args:
        payload: the snapshot.
        settings: of the gate that was saved.
        context_version: `ContextMap.version` of the contexts it will see.
        rng: None to go on with the saved random source, bit for bit.
        name: refuse any other gate.

    Raises:
        CorruptSnapshot: damaged, truncated, or holding a non-finite number.
        VersionMismatch: of another format, context map, signals, gate, or structural settings.

    """
    return load_learner(
        payload,
        "gate",
        lambda meta: _check_manifest(meta, settings, context_version),
        lambda kind, source: _make(kind, settings, context_version, source),
        rng=rng,
        name=name,
    )


def _check_manifest(meta: Mapping[str, Any], settings: GateSettings, context_version: str) -> None:
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
    check_count(meta, fits=isinstance(saved, str))


def _make(name: str, settings: GateSettings, context_version: str, rng: Generator) -> SnapshotGate:
    if name not in _GATES:
        raise UnknownPolicy(f"no gate {name!r}; choose one of {', '.join(GATE_NAMES)}")
    return _GATES[name](name, settings, context_version, rng)
