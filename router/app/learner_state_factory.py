"""Makes and restores what learns: the policies, and the gate of each plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np

from bandit import Context, Policy
from bandit.errors import CorruptSnapshot
from bandit.gates import Gate, load_gate, make_gate
from bandit.risk import Promise
from router.app.policy_factory import PolicyFactory
from router.config import Config
from router.config.values import context_map_of, gate_settings_of, promise_settings_of
from router.domain.catalog import Catalog, Plan
from router.domain.promise_names import holder
from router.learning.implicit_feedback import ImplicitFeedbackWeights
from router.learning.learner_state import Arrays, LearnerState, PromiseTerms, split, terms_of
from router.learning.tenants import TenantPolicies, TenantWeightCap
from router.learning.upgrades import renamed_parts


class LearnerStateFactory:
    """Makes and restores policies the way the config says.

    examples: contexts by plan, for `policy.intent`. A learner, which never decides, has none.
    """

    def __init__(
        self,
        config: Config,
        catalog: Catalog,
        examples: Mapping[str, Sequence[Context]] = MappingProxyType({}),
    ) -> None:
        self.context_map = context_map_of(config)
        self._seed = config.policy.seed
        self._renamed = config.renamed
        self._max_share = config.learning.max_tenant_share
        self._implicit_weight = config.learning.implicit_weight
        self._owners = frozenset(config.learning.own_policies)
        self._members = PolicyFactory(config, catalog, self.context_map, examples)
        self._gate_names = {p.name: p.gate for p in _judged(config, catalog)}
        self._gate_settings = gate_settings_of(config, catalog, self.context_map)
        self._promising = [p.name for p in catalog.plans.values() if p.is_judged]
        self._promised = {
            holder(plan, tenant): settings
            for plan in self._promising
            for tenant, settings in promise_settings_of(config).items()
        }
        # Replicas must not draw alike: theirs is seeded from the system, the learner's is fixed.
        self._serving = np.random.default_rng()

    def fresh_policy(self) -> Policy:
        """Of the section `policy`."""
        return self._members.fresh()

    def fresh(self) -> LearnerState:
        contest = self._members.fresh_contest()
        learned = LearnerState(
            self.fresh_policy(),
            self._gates({}, None),
            self._promises({}),
            contest=contest,
            tenant_cap=self._tenant_cap(None),
            own_policies=self._own_policies({}, None),
            implicit_weights=self._implicit_weights(None),
        )
        if contest is not None:
            learned.follow(contest)
        return learned

    def restore(self, payload: bytes) -> LearnerState:
        """For learning: goes on exactly where the snapshot ended. Raises BanditError."""
        parts = renamed_parts(split(payload), self._renamed)
        champion, policy = self._members.champion(parts, None)
        contest = self._members.contest(champion, policy, parts)
        return LearnerState(
            policy,
            self._gates(parts.gates, None),
            self._promises(parts.promises),
            champion,
            contest,
            self._tenant_cap(parts.influence),
            self._own_policies(parts.owned, None),
            self._implicit_weights(parts.trust),
        )

    def restore_to_serve(self, payload: bytes) -> LearnerState:
        """Without challengers. Raises BanditError."""
        parts = renamed_parts(split(payload), self._renamed)
        champion, policy = self._members.champion(parts, self._serving)
        gates = self._gates(parts.gates, self._serving)
        promises, own = (
            self._promises(parts.promises),
            self._own_policies(parts.owned, self._serving),
        )
        return LearnerState(policy, gates, promises, champion, own_policies=own)

    def _own_policies(
        self, saved: Mapping[str, bytes], rng: np.random.Generator | None
    ) -> TenantPolicies | None:
        """Raises BanditError."""
        if not self._owners:
            return None
        policies = {
            t: self._members.own(held, rng) for t, held in saved.items() if t in self._owners
        }
        return TenantPolicies(self._owners, self._members.begun, policies)

    def _tenant_cap(self, saved: dict[str, Any] | None) -> TenantWeightCap | None:
        """Raises CorruptSnapshot."""
        if self._max_share == 1:
            return None
        with _fitting("shares of tenants do"):
            return TenantWeightCap(self._max_share, saved)

    def _implicit_weights(self, saved: dict[str, Any] | None) -> ImplicitFeedbackWeights:
        """Raises CorruptSnapshot."""
        with _fitting("trust in signs does"):
            return ImplicitFeedbackWeights(self._implicit_weight, saved)

    def _promises(self, saved: Mapping[str, tuple[PromiseTerms, Arrays]]) -> dict[str, Promise]:
        """One whose terms were changed since begins without evidence. Raises CorruptSnapshot."""
        made = {name: Promise(settings) for name, settings in self._promised.items()}
        for name, promise in made.items():
            terms, arrays = saved.get(name, (None, {}))
            if terms == terms_of(promise.settings):
                with _fitting("promise does"):
                    promise.restore(arrays)
        return made

    def _gates(
        self, saved: Mapping[str, tuple[str, bytes]], rng: np.random.Generator | None
    ) -> dict[str, Gate]:
        """A plan that was given another gate since starts with a fresh one."""
        return {
            plan: self._gate(name, *saved.get(plan, ("", b"")), rng)
            for plan, name in self._gate_names.items()
        }

    def _gate(self, name: str, saved: str, payload: bytes, rng: np.random.Generator | None) -> Gate:
        version = self.context_map.version
        if saved == name:
            return load_gate(payload, self._gate_settings, version, rng, name=name)
        fresh = rng or np.random.default_rng(self._seed)
        return make_gate(name, self._gate_settings, version, fresh)


@contextmanager
def _fitting(what: str) -> Iterator[None]:
    """Raises CorruptSnapshot."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CorruptSnapshot(f"the snapshot's {what} not fit; go back to an older one") from None


def _judged(config: Config, catalog: Catalog) -> list[Plan]:
    """A verifier has a say in every ladder; without one the plain rules need no gate."""
    asked = config.judging.verifier is not None
    return [p for p in catalog.plans.values() if p.is_judged or (asked and len(p.rungs) > 1)]
