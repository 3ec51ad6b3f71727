"""What is learned, as one: the policy and the gate of each plan, in one snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandit.errors import CorruptSnapshot
from bandit.promise import Promise, PromiseSettings
from bandit.snapshot import Snapshot, pack, unpack
from bandit.steps import Gate
from bandit.types import Policy

KIND: Final = "learned"
POLICY: Final = "policy"
GATE: Final = "gate"
PROMISE: Final = "promise"


@dataclass(frozen=True, slots=True)
class Learned:
    """gates: by plan, of the plans whose gate learns or decides anything. promises: by plan."""

    policy: Policy
    gates: Mapping[str, Gate] = field(default_factory=dict)
    promises: Mapping[str, Promise] = field(default_factory=dict)

    def save(self) -> bytes:
        """The policy's own snapshot where there is no gate."""
        if not self.gates:
            return self.policy.save()
        payloads = {POLICY: self.policy.save()}
        payloads |= {f"{GATE}.{plan}": gate.save() for plan, gate in self.gates.items()}
        names = {plan: gate.name for plan, gate in self.gates.items()}
        arrays: dict[str, NDArray[Any]] = {
            name: np.frombuffer(payload, np.uint8) for name, payload in payloads.items()
        }
        for index, promise in enumerate(self.promises.values()):
            own = promise.arrays().items()
            arrays |= {f"{PROMISE}.{index}.{name}": array for name, array in own}
        told = [[plan, *terms_of(promise.settings)] for plan, promise in self.promises.items()]
        return pack(Snapshot(KIND, {"gates": names, "promises": told}, arrays))


Terms: TypeAlias = tuple[float, float]
"""max_bad and confidence: evidence for one promise is none for another."""
Arrays: TypeAlias = dict[str, NDArray[Any]]


def terms_of(settings: PromiseSettings) -> Terms:
    return settings.max_bad, settings.confidence


class Payloads(NamedTuple):
    """gates: plan -> (name of its gate, payload). promises: plan -> (terms, arrays)."""

    policy: bytes
    gates: Mapping[str, tuple[str, bytes]]
    promises: Mapping[str, tuple[Terms, Arrays]]


def split(payload: bytes) -> Payloads:
    """One that holds a policy alone has no gates. Raises CorruptSnapshot, VersionMismatch."""
    snapshot = unpack(payload)
    if snapshot.kind != KIND:
        return Payloads(payload, {}, {})
    try:
        names = dict(snapshot.meta["gates"])
        gates = {
            plan: (str(name), snapshot.arrays[f"{GATE}.{plan}"].tobytes())
            for plan, name in names.items()
        }
        promises = {
            str(plan): ((float(bad), float(sure)), snapshot.part(f"{PROMISE}.{index}"))
            for index, (plan, bad, sure) in enumerate(snapshot.meta.get("promises", []))
        }
        return Payloads(snapshot.arrays[POLICY].tobytes(), gates, promises)
    except (KeyError, TypeError, ValueError):
        raise CorruptSnapshot("the snapshot's parts do not fit; go back to an older one") from None
