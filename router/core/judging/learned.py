"""What is learned, as one: the champion, the gate of each plan and the contest, in one snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandit.errors import CorruptSnapshot
from bandit.snapshot import Snapshot, pack, unpack
from bandit.steps import Gate
from bandit.types import Policy
from router.core.contest.contest import Contest
from router.core.contest.state import ContestState, read_state, write_state
from router.core.records import BASE

KIND: Final = "learned"
POLICY: Final = "policy"
GATE: Final = "gate"
CONTEST: Final = "contest"
MEMBER: Final = "member"


@dataclass(slots=True)
class Learned:
    """policy: the one that serves. champion: its name among the members.

    gates: by plan, of the plans whose gate learns or decides anything. contest: None where there
    are no challengers, and in who only serves.
    """

    policy: Policy
    gates: Mapping[str, Gate] = field(default_factory=dict)
    champion: str = BASE
    contest: Contest | None = None

    def follow(self, contest: Contest) -> None:
        """Serve what the contest says."""
        self.champion = contest.state.champion
        self.policy = contest.policies[self.champion]

    def save(self) -> bytes:
        """The policy's own snapshot where there is nothing else."""
        if not self.gates and self.contest is None:
            return self.policy.save()
        payloads = {POLICY: self.policy.save()}
        payloads |= {f"{GATE}.{plan}": gate.save() for plan, gate in self.gates.items()}
        meta: dict[str, Any] = {"gates": {plan: gate.name for plan, gate in self.gates.items()}}
        if self.contest is not None:
            others = [name for name in self.contest.policies if name != self.champion]
            meta["members"] = others
            payloads[CONTEST] = write_state(self.contest.state)
            payloads |= {f"{MEMBER}.{n}": self.contest.policies[n].save() for n in others}
        arrays = {name: np.frombuffer(payload, np.uint8) for name, payload in payloads.items()}
        return pack(Snapshot(KIND, meta, arrays))


class Payloads(NamedTuple):
    """policy: the champion's. gates: plan -> (name of its gate, payload).

    state: of the contest, an empty one where there was none. members: of those who do not serve.
    """

    policy: bytes
    gates: Mapping[str, tuple[str, bytes]]
    state: ContestState
    members: Mapping[str, bytes]


def split(payload: bytes) -> Payloads:
    """One that holds a policy alone has no gates. Raises CorruptSnapshot, VersionMismatch."""
    snapshot = unpack(payload)
    if snapshot.kind != KIND:
        return Payloads(payload, {}, ContestState(), {})
    try:
        return _parts(snapshot.meta, snapshot.arrays)
    except (KeyError, TypeError, ValueError):
        raise CorruptSnapshot("the snapshot's parts do not fit; go back to an older one") from None


def _parts(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Payloads:
    gates = {
        plan: (str(name), arrays[f"{GATE}.{plan}"].tobytes())
        for plan, name in dict(meta["gates"]).items()
    }
    members = {str(n): arrays[f"{MEMBER}.{n}"].tobytes() for n in meta.get("members", ())}
    state = read_state(arrays[CONTEST].tobytes()) if CONTEST in arrays else ContestState()
    return Payloads(arrays[POLICY].tobytes(), gates, state, members)
