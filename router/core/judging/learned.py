"""What is learned, as one: the policy and the gate of each plan, in one snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from bandit.errors import CorruptSnapshot
from bandit.snapshot import Snapshot, pack, unpack
from bandit.steps import Gate
from bandit.types import Policy

KIND: Final = "learned"
POLICY: Final = "policy"
GATE: Final = "gate"


@dataclass(frozen=True, slots=True)
class Learned:
    """gates: by plan, of the plans whose gate learns or decides anything."""

    policy: Policy
    gates: Mapping[str, Gate] = field(default_factory=dict)

    def save(self) -> bytes:
        """The policy's own snapshot where there is no gate."""
        if not self.gates:
            return self.policy.save()
        payloads = {POLICY: self.policy.save()}
        payloads |= {f"{GATE}.{plan}": gate.save() for plan, gate in self.gates.items()}
        names = {plan: gate.name for plan, gate in self.gates.items()}
        arrays = {name: np.frombuffer(payload, np.uint8) for name, payload in payloads.items()}
        return pack(Snapshot(KIND, {"gates": names}, arrays))


class Payloads(NamedTuple):
    """gates: plan -> (name of its gate, payload)."""

    policy: bytes
    gates: Mapping[str, tuple[str, bytes]]


def split(payload: bytes) -> Payloads:
    """One that holds a policy alone has no gates. Raises CorruptSnapshot, VersionMismatch."""
    snapshot = unpack(payload)
    if snapshot.kind != KIND:
        return Payloads(payload, {})
    try:
        names = dict(snapshot.meta["gates"])
        gates = {
            plan: (str(name), snapshot.arrays[f"{GATE}.{plan}"].tobytes())
            for plan, name in names.items()
        }
        return Payloads(snapshot.arrays[POLICY].tobytes(), gates)
    except (KeyError, TypeError, ValueError):
        raise CorruptSnapshot("the snapshot's parts do not fit; go back to an older one") from None
