"""What is learned, as one: the champion, the gate of each plan and the contest, in one snapshot."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandit.errors import CorruptSnapshot
from bandit.gates import Gate
from bandit.risk import Promise, PromiseSettings
from bandit.snapshots.codec import Snapshot, pack, unpack
from bandit.types import Policy
from router.domain.records import BASE
from router.learning.implicit_feedback import ImplicitFeedbackWeights
from router.learning.promotion import ChampionChallenger
from router.learning.promotion_state import ContestState, read_state, write_state
from router.learning.tenant_policies import TenantPolicies
from router.learning.tenant_weights import TenantWeightCap

KIND: Final = "learned"
POLICY: Final = "policy"
GATE: Final = "gate"
PROMISE: Final = "promise"
CONTEST: Final = "contest"
MEMBER: Final = "member"
OWN: Final = "own"


@dataclass(slots=True)
class LearnerState:
    """policy: the one that serves. champion: its name among the members.

    gates: by plan, of the plans whose gate learns or decides anything. promises: by holder.
    contest: None where there are no challengers, and in who only serves. influence: of tenants,
    None where it is not bounded. owned: policies of tenants' own, None where no tenant shall have
    one. trust: in what callers do who say nothing.
    """

    policy: Policy
    gates: Mapping[str, Gate] = field(default_factory=dict)
    promises: Mapping[str, Promise] = field(default_factory=dict)
    champion: str = BASE
    contest: ChampionChallenger | None = None
    influence: TenantWeightCap | None = None
    owned: TenantPolicies | None = None
    trust: ImplicitFeedbackWeights = field(default_factory=ImplicitFeedbackWeights)

    @property
    def policies(self) -> Collection[Policy]:
        """All that learn from every tenant."""
        return [self.policy] if self.contest is None else self.contest.policies.values()

    @property
    def shared(self) -> Policy:
        """Of the section `policy`, whoever is champion."""
        return self.policy if self.contest is None else self.contest.policies[BASE]

    def follow(self, contest: ChampionChallenger) -> None:
        """Serve what the contest says."""
        self.champion = contest.state.champion
        self.policy = contest.policies[self.champion]

    def save(self) -> bytes:
        """The policy's own snapshot where there is nothing else."""
        beside = self.contest, self.influence, self.owned
        if not self.gates and beside == (None, None, None) and self.trust.is_blank:
            return self.policy.save()
        payloads = {POLICY: self.policy.save()}
        payloads |= {f"{GATE}.{plan}": gate.save() for plan, gate in self.gates.items()}
        told = [[plan, *terms_of(promise.settings)] for plan, promise in self.promises.items()]
        names = {plan: gate.name for plan, gate in self.gates.items()}
        meta: dict[str, Any] = {"gates": names, "promises": told}
        if not self.trust.is_blank:
            meta["trust"] = self.trust.state()
        if self.influence is not None:
            meta["influence"] = self.influence.state()
        if self.contest is not None:
            others = [name for name in self.contest.policies if name != self.champion]
            meta["members"] = others
            payloads[CONTEST] = write_state(self.contest.state)
            payloads |= {f"{MEMBER}.{n}": self.contest.policies[n].save() for n in others}
        if self.owned is not None:
            meta["owned"] = list(self.owned.policies)
            saved = [policy.save() for policy in self.owned.policies.values()]
            payloads |= {f"{OWN}.{place}": payload for place, payload in enumerate(saved)}
        arrays = {name: np.frombuffer(payload, np.uint8) for name, payload in payloads.items()}
        return pack(Snapshot(KIND, meta, arrays | self._evidence()))

    def _evidence(self) -> dict[str, NDArray[Any]]:
        """Of the promises."""
        return {
            f"{PROMISE}.{index}.{name}": array
            for index, promise in enumerate(self.promises.values())
            for name, array in promise.arrays().items()
        }


Terms: TypeAlias = tuple[float, float]
"""max_bad and confidence: evidence for one promise is none for another."""
Arrays: TypeAlias = dict[str, NDArray[Any]]


def terms_of(settings: PromiseSettings) -> Terms:
    return settings.max_bad, settings.confidence


class Payloads(NamedTuple):
    """policy: the champion's. gates: plan -> (name of its gate, payload).

    promises: holder -> (terms, arrays). state: of the contest, an empty one where there was none.
    members: of those who do not serve. influence: of tenants, None where it was not bounded.
    owned: tenant -> payload of its own policy. trust: in signs, None for none yet.
    """

    policy: bytes
    gates: Mapping[str, tuple[str, bytes]]
    promises: Mapping[str, tuple[Terms, Arrays]]
    state: ContestState
    members: Mapping[str, bytes]
    influence: dict[str, Any] | None = None
    owned: Mapping[str, bytes] = MappingProxyType({})
    trust: dict[str, Any] | None = None


def split(payload: bytes) -> Payloads:
    """One that holds a policy alone has no gates. Raises CorruptSnapshot, VersionMismatch."""
    snapshot = unpack(payload)
    if snapshot.kind != KIND:
        return Payloads(payload, {}, {}, ContestState(), {})
    try:
        return _parts(snapshot)
    except (KeyError, TypeError, ValueError):
        raise CorruptSnapshot("the snapshot's parts do not fit; go back to an older one") from None


def _parts(snapshot: Snapshot) -> Payloads:
    meta, arrays = snapshot.meta, snapshot.arrays
    gates = {
        plan: (str(name), arrays[f"{GATE}.{plan}"].tobytes())
        for plan, name in dict(meta["gates"]).items()
    }
    promises = {
        str(plan): ((float(bad), float(sure)), snapshot.part(f"{PROMISE}.{index}"))
        for index, (plan, bad, sure) in enumerate(meta.get("promises", []))
    }
    members = {str(n): arrays[f"{MEMBER}.{n}"].tobytes() for n in meta.get("members", ())}
    state = read_state(arrays[CONTEST].tobytes()) if CONTEST in arrays else ContestState()
    policy, influence = arrays[POLICY].tobytes(), meta.get("influence")
    tenants = enumerate(meta.get("owned", ()))
    owned = {str(tenant): arrays[f"{OWN}.{place}"].tobytes() for place, tenant in tenants}
    trust = meta.get("trust")
    return Payloads(policy, gates, promises, state, members, influence, owned, trust)
