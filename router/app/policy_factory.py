"""The policy of the config and its challengers: made, and restored from what a snapshot holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from bandit import Context, ContextMap, Policy, PolicySettings, load_policy, make_policy
from bandit.adaptive.policy import AdaptivePolicy
from bandit.errors import VersionMismatch
from router.config import Config
from router.config.policy_schema import PolicySection
from router.config.values import members_of, settings_of, units_of
from router.domain.catalog import Catalog
from router.domain.records import BASE
from router.learning.learner_state import SnapshotParts
from router.learning.promotion import ChampionChallenger, ContestTerms
from router.learning.promotion_state import ContestState, resumed

_NOT_LEARNED_BY: Final = {"observe", "promise", "tenant_promises", "most_turns_ahead", "trust"}
"""Keys of the section `policy` that change nothing of what a policy learns."""


class PolicyFactory:
    """Makes policies. examples: contexts by plan, for `policy.intent`, which has no challengers."""

    def __init__(
        self,
        config: Config,
        catalog: Catalog,
        context_map: ContextMap,
        examples: Mapping[str, Sequence[Context]] = MappingProxyType({}),
    ) -> None:
        self._version = context_map.version
        self._sections = members_of(config)
        self._fingerprints = {
            name: _fingerprint(section) for name, section in self._sections.items()
        }
        self._settings: dict[str, PolicySettings] = {}
        for name, section in self._sections.items():
            merged = config.model_copy(update={"policy": section})
            self._settings[name] = settings_of(merged, catalog, context_map, examples)
        self._own_strength = config.learning.own_strength
        self._terms = ContestTerms(catalog.plans, units_of(config, catalog), config.promotion)

    def fresh(self, name: str = BASE) -> Policy:
        section = self._sections[name]
        rng = np.random.default_rng(section.seed)
        return make_policy(section.name, self._settings[name], self._version, rng)

    def fresh_contest(self) -> ChampionChallenger | None:
        """None without challengers."""
        if len(self._sections) == 1:
            return None
        policies = {name: self.fresh(name) for name in self._sections}
        return ChampionChallenger(
            policies, resumed(ContestState(), self._fingerprints), self._terms
        )

    def champion(self, parts: SnapshotParts, rng: np.random.Generator | None) -> tuple[str, Policy]:
        """Returns the name and the policy that serves: `BASE` where the config lacks the champion.

        Raises BanditError.
        """
        name = parts.state.champion if parts.state.champion in self._sections else BASE
        payload = self._payload(name, parts)
        if payload is None:
            return name, self.fresh(name)
        kind = self._sections[name].name
        return name, load_policy(payload, self._settings[name], self._version, rng, name=kind)

    def tenant_policy(self, payload: bytes, rng: np.random.Generator | None) -> Policy:
        """Restore the policy of one tenant, by the section `policy`. Raises BanditError."""
        kind = self._sections[BASE].name
        return load_policy(payload, self._settings[BASE], self._version, rng, name=kind)

    def tenant_copy(self, shared: Policy) -> Policy:
        """A copy whose past gives way to what one tenant tells."""
        policy = self.tenant_policy(shared.save(), None)
        if isinstance(policy, AdaptivePolicy):
            policy.limit(self._own_strength)
        return policy

    def contest(
        self, champion: str, policy: Policy, parts: SnapshotParts
    ) -> ChampionChallenger | None:
        """Raises BanditError."""
        if len(self._sections) == 1:
            return None
        policies = {
            name: policy if name == champion else self._challenger(name, parts)
            for name in self._sections
        }
        return ChampionChallenger(policies, resumed(parts.state, self._fingerprints), self._terms)

    def _challenger(self, name: str, parts: SnapshotParts) -> Policy:
        """One that is merged otherwise now starts with nothing."""
        payload, known = self._payload(name, parts), parts.state.prints.values()
        if payload is None or self._fingerprints[name] not in known:
            return self.fresh(name)
        try:
            settings, kind = self._settings[name], self._sections[name].name
            return load_policy(payload, settings, self._version, name=kind)
        except VersionMismatch:
            return self.fresh(name)

    def _payload(self, name: str, parts: SnapshotParts) -> bytes | None:
        """Returns the payload of the member with the same settings, else of the same name.

        A champion's overrides may so be written into the section `policy` and lose nothing.
        """
        state = parts.state
        payloads = {**parts.members, state.champion: parts.policy}
        wanted = self._fingerprints[name]
        if state.prints.get(name) == wanted:
            return payloads.get(name)
        twin = next((n for n, fingerprint in state.prints.items() if fingerprint == wanted), name)
        return payloads.get(twin)


def _fingerprint(section: PolicySection) -> str:
    return hashlib.sha256(section.model_dump_json(exclude=_NOT_LEARNED_BY).encode()).hexdigest()[
        :32
    ]
