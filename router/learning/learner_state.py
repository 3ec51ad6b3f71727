"""Everything that is learned, as one snapshot: policies, the gates of the plans, the contest."""

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
from router.learning.evidence import EvidenceLedger
from router.learning.implicit_feedback import ImplicitFeedbackWeights
from router.learning.promotion import ChampionChallenger
from router.learning.promotion_state import ContestState, read_state, write_state
from router.learning.request_rates import RequestRates
from router.learning.tenants import TenantPolicies, TenantWeightCap

KIND: Final = "learned"
POLICY: Final = "policy"
GATE: Final = "gate"
PROMISE: Final = "promise"
CONTEST: Final = "contest"
MEMBER: Final = "member"
OWN: Final = "own"

Arrays: TypeAlias = dict[str, NDArray[Any]]
PromiseTerms: TypeAlias = tuple[float, float]
"""max_bad and confidence: evidence for one promise is none for another."""


@dataclass(slots=True)
class LearnerState:
    """Everything that a learner trains and a router serves.

    policy: the one that serves. champion: its name among the members of the contest. gates: by
    plan, of those whose gate learns or decides anything. promises: by holder. contest: None without
    challengers, and in a router. tenant_cap: None where tenants are not capped. own_policies: of
    single tenants, None where none shall have one. begun: parts that a snapshot held in a form that
    can't be read, which so have learned nothing. rates: by which requests are priced. evidence:
    what was bought of it.
    """

    policy: Policy
    gates: Mapping[str, Gate] = field(default_factory=dict)
    promises: Mapping[str, Promise] = field(default_factory=dict)
    champion: str = BASE
    contest: ChampionChallenger | None = None
    tenant_cap: TenantWeightCap | None = None
    own_policies: TenantPolicies | None = None
    implicit_weights: ImplicitFeedbackWeights = field(default_factory=ImplicitFeedbackWeights)
    begun: tuple[str, ...] = ()
    rates: RequestRates = field(default_factory=RequestRates)
    evidence: EvidenceLedger = field(default_factory=EvidenceLedger)

    def take_begun(self, other: LearnerState) -> None:
        """Take the parts that have begun anew from another state, which has learned them."""
        gates, promises = dict(self.gates), dict(self.promises)
        for kind, _, name in (part.partition(".") for part in self.begun):
            match kind:
                case "gate":
                    gates[name] = other.gates[name]
                case "promise":
                    promises[name] = other.promises[name]
                case "influence":
                    self.tenant_cap = other.tenant_cap
                case "trust":
                    self.implicit_weights = other.implicit_weights
                case "rates":
                    self.rates = other.rates
                case "evidence":
                    self.evidence = other.evidence
                case "owned":
                    self._take_own(other, name)
        self.gates, self.promises, self.begun = gates, promises, ()

    def _take_own(self, other: LearnerState, tenant: str) -> None:
        if self.own_policies and other.own_policies and tenant in other.own_policies.policies:
            self.own_policies.policies[tenant] = other.own_policies.policies[tenant]

    @property
    def policies(self) -> Collection[Policy]:
        """Policies that learn from every tenant."""
        return [self.policy] if self.contest is None else self.contest.policies.values()

    @property
    def shared(self) -> Policy:
        """The policy of the config's section `policy`, whoever is champion."""
        return self.policy if self.contest is None else self.contest.policies[BASE]

    def follow(self, contest: ChampionChallenger) -> None:
        """Serve with the contest's champion."""
        self.champion = contest.state.champion
        self.policy = contest.policies[self.champion]

    def save(self) -> bytes:
        """Returns a snapshot; the policy's own one where there is nothing else."""
        if self._is_policy_alone():
            return self.policy.save()
        payloads = {POLICY: self.policy.save()}
        payloads |= {f"{GATE}.{plan}": gate.save() for plan, gate in self.gates.items()}
        terms = [[plan, *terms_of(promise.settings)] for plan, promise in self.promises.items()]
        names = {plan: gate.name for plan, gate in self.gates.items()}
        meta: dict[str, Any] = {"gates": names, "promises": terms}
        if not self.implicit_weights.is_blank:
            meta["trust"] = self.implicit_weights.state()
        if not self.rates.is_blank:
            meta["rates"] = self.rates.state()
        if not self.evidence.is_blank:
            meta["evidence"] = self.evidence.state()
        if self.tenant_cap is not None:
            meta["influence"] = self.tenant_cap.state()
        if self.contest is not None:
            others = [name for name in self.contest.policies if name != self.champion]
            meta["members"] = others
            payloads[CONTEST] = write_state(self.contest.state)
            payloads |= {f"{MEMBER}.{n}": self.contest.policies[n].save() for n in others}
        if self.own_policies is not None:
            meta["owned"] = list(self.own_policies.policies)
            saved = [policy.save() for policy in self.own_policies.policies.values()]
            payloads |= {f"{OWN}.{place}": payload for place, payload in enumerate(saved)}
        arrays = {name: np.frombuffer(payload, np.uint8) for name, payload in payloads.items()}
        return pack(Snapshot(KIND, meta, arrays | self._promise_arrays()))

    def _is_policy_alone(self) -> bool:
        others = self.contest, self.tenant_cap, self.own_policies
        parts = self.implicit_weights, self.rates, self.evidence
        blank = all(part.is_blank for part in parts)
        return not self.gates and others == (None, None, None) and blank

    def _promise_arrays(self) -> Arrays:
        return {
            f"{PROMISE}.{index}.{name}": array
            for index, promise in enumerate(self.promises.values())
            for name, array in promise.arrays().items()
        }


def terms_of(settings: PromiseSettings) -> PromiseTerms:
    return settings.max_bad, settings.confidence


class SnapshotParts(NamedTuple):
    """The parts of a snapshot, by their stored names.

    policy: the champion's. gates: plan -> (name of its gate, payload). promises: holder -> (terms,
    arrays). state: of the contest, an empty one where there was none. members: policies that do
    not serve. influence: of the tenant cap, None for none. owned: tenant -> payload of its own
    policy. trust: of the implicit feedback weights, None for none yet. rates: of `RequestRates`,
    likewise. evidence: of the `EvidenceLedger`, likewise.
    """

    policy: bytes
    gates: Mapping[str, tuple[str, bytes]]
    promises: Mapping[str, tuple[PromiseTerms, Arrays]]
    state: ContestState
    members: Mapping[str, bytes]
    influence: dict[str, Any] | None = None
    owned: Mapping[str, bytes] = MappingProxyType({})
    trust: dict[str, Any] | None = None
    rates: dict[str, Any] | None = None
    evidence: dict[str, Any] | None = None


def split(payload: bytes) -> SnapshotParts:
    """Split a snapshot into its parts. Raises CorruptSnapshot, VersionMismatch."""
    snapshot = unpack(payload)
    if snapshot.kind != KIND:
        return SnapshotParts(payload, {}, {}, ContestState(), {})
    try:
        return _parts(snapshot)
    except (KeyError, TypeError, ValueError):
        raise CorruptSnapshot("the snapshot's parts do not fit; go back to an older one") from None


def _parts(snapshot: Snapshot) -> SnapshotParts:
    meta, arrays = snapshot.meta, snapshot.arrays
    gates = {
        plan: (str(name), arrays[f"{GATE}.{plan}"].tobytes())
        for plan, name in dict(meta["gates"]).items()
    }
    promises = {
        str(plan): ((float(bad), float(sure)), snapshot.part(f"{PROMISE}.{index}"))
        for index, (plan, bad, sure) in enumerate(meta.get("promises", []))
    }
    tenants = enumerate(meta.get("owned", ()))
    return SnapshotParts(
        policy=arrays[POLICY].tobytes(),
        gates=gates,
        promises=promises,
        state=read_state(arrays[CONTEST].tobytes()) if CONTEST in arrays else ContestState(),
        members={str(n): arrays[f"{MEMBER}.{n}"].tobytes() for n in meta.get("members", ())},
        influence=meta.get("influence"),
        owned={str(tenant): arrays[f"{OWN}.{place}"].tobytes() for place, tenant in tenants},
        trust=meta.get("trust"),
        rates=meta.get("rates"),
        evidence=meta.get("evidence"),
    )
