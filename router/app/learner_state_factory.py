"""Makes and restores what learns: the policies, and the gate of each plan.

A part besides the policy that is of another form, as an earlier version or config wrote it, begins
anew alone: the rest of the snapshot is kept, and a learner learns the part again from the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from bandit import Context, ContextMap, Policy, PromptFacts
from bandit.errors import CorruptSnapshot, VersionMismatch
from bandit.gates import Gate, load_gate, make_gate
from bandit.risk import Promise
from router.app.policy_factory import PolicyFactory
from router.config import Config
from router.config.values import context_map_of, gate_settings_of, promise_settings_of
from router.domain.catalog import Catalog, Plan
from router.domain.tenants import promise_name
from router.learning.evidence import EvidenceLedger, renamed_ledger
from router.learning.implicit_feedback import ImplicitFeedbackWeights
from router.learning.learner_state import Arrays, LearnerState, PromiseTerms, split, terms_of
from router.learning.request_rates import RequestRates
from router.learning.tenants import TenantPolicies, TenantWeightCap
from router.learning.upgrades import renamed_parts
from router.ports.upstream import Embedder

T = TypeVar("T")
_log = logging.getLogger(__name__)


async def example_contexts(
    config: Config, embedder: Embedder, context_map: ContextMap
) -> Mapping[str, list[Context]]:
    """Contexts of the utterances of `policy.intent`, by plan; empty for every other policy.

    One is embedded after the other: the embedder's queue is bounded.

    Raises:
        RouterError: An utterance cannot be embedded.

    """
    if config.policy.name != "intent":
        return {}
    return {
        plan: [
            context_map.build(await embedder.embed(text), PromptFacts(text)) for text in utterances
        ]
        for plan, utterances in config.policy.intent.examples.items()
    }


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
        self._policies = PolicyFactory(config, catalog, self.context_map, examples)
        self._gate_names = {p.name: p.gate for p in _judged(config, catalog)}
        self._gate_settings = gate_settings_of(config, catalog, self.context_map)
        self._promising = [p.name for p in catalog.plans.values() if p.is_judged]
        self._promise_settings = {
            promise_name(plan, tenant): settings
            for plan in self._promising
            for tenant, settings in promise_settings_of(config).items()
        }
        # Replicas must not draw alike: theirs is seeded from the system, the learner's is fixed.
        self._serving_rng = np.random.default_rng()
        self._told = set[str]()

    def fresh_policy(self) -> Policy:
        """Makes the policy of the section `policy`."""
        return self._policies.fresh()

    def fresh(self) -> LearnerState:
        contest = self._policies.fresh_contest()
        learned = LearnerState(
            self.fresh_policy(),
            self._gates({}, None, _Begun(self._told)),
            self._promises({}, _Begun(self._told)),
            contest=contest,
            tenant_cap=self._tenant_cap(None),
            own_policies=self._own_policies({}, None, _Begun(self._told)),
            implicit_weights=self._implicit_weights(None),
        )
        if contest is not None:
            learned.follow(contest)
        return learned

    def restore(self, payload: bytes) -> LearnerState:
        """Restore to learn on exactly where the snapshot ended. Raises BanditError."""
        parts = renamed_parts(split(payload), self._renamed)
        champion, policy = self._policies.champion(parts, None)
        contest = self._policies.contest(champion, policy, parts)
        begun = _Begun(self._told)
        rates, evidence = _request_rates(parts.rates, begun), self._evidence(parts.evidence, begun)
        return LearnerState(
            policy,
            self._gates(parts.gates, None, begun),
            self._promises(parts.promises, begun),
            champion,
            contest,
            begun.unless("influence", lambda: self._tenant_cap(parts.influence))
            or self._tenant_cap(None),
            self._own_policies(parts.owned, None, begun),
            begun.unless("trust", lambda: self._implicit_weights(parts.trust))
            or self._implicit_weights(None),
            tuple(begun.parts),
            rates,
            evidence,
        )

    def restore_to_serve(self, payload: bytes) -> LearnerState:
        """Restore without challengers. Raises BanditError."""
        parts = renamed_parts(split(payload), self._renamed)
        champion, policy = self._policies.champion(parts, self._serving_rng)
        begun = _Begun(self._told)
        gates = self._gates(parts.gates, self._serving_rng, begun)
        own = self._own_policies(parts.owned, self._serving_rng, begun)
        promises = self._promises(parts.promises, begun)
        return LearnerState(
            policy,
            gates,
            promises,
            champion,
            own_policies=own,
            rates=_request_rates(parts.rates, begun),
            evidence=self._evidence(parts.evidence, begun),
        )

    def _evidence(self, saved: dict[str, Any] | None, begun: _Begun) -> EvidenceLedger:
        def restored() -> EvidenceLedger:
            with _fitting_snapshot("ledger of evidence does"):
                return EvidenceLedger(saved and renamed_ledger(saved, self._renamed))

        return begun.unless("evidence", restored) or EvidenceLedger()

    def _own_policies(
        self, saved: Mapping[str, bytes], rng: np.random.Generator | None, begun: _Begun
    ) -> TenantPolicies | None:
        if not self._owners:
            return None
        policies = {}
        for tenant in (t for t in saved if t in self._owners):
            make = partial(self._policies.tenant_policy, saved[tenant], rng)
            policy = begun.unless(f"owned.{tenant}", make)
            if policy is not None:
                policies[tenant] = policy
        return TenantPolicies(self._owners, self._policies.tenant_copy, policies)

    def _tenant_cap(self, saved: dict[str, Any] | None) -> TenantWeightCap | None:
        """Raises CorruptSnapshot."""
        if self._max_share == 1:
            return None
        with _fitting_snapshot("shares of tenants do"):
            return TenantWeightCap(self._max_share, saved)

    def _implicit_weights(self, saved: dict[str, Any] | None) -> ImplicitFeedbackWeights:
        """Raises CorruptSnapshot."""
        with _fitting_snapshot("trust in signs does"):
            return ImplicitFeedbackWeights(self._implicit_weight, saved)

    def _promises(
        self, saved: Mapping[str, tuple[PromiseTerms, Arrays]], begun: _Begun
    ) -> dict[str, Promise]:
        """One whose terms were changed since begins without evidence."""
        made = {name: Promise(settings) for name, settings in self._promise_settings.items()}
        for name, promise in made.items():
            terms, arrays = saved.get(name, (None, {}))
            if terms == terms_of(promise.settings):
                begun.unless(f"promise.{name}", partial(_restore_promise, promise, arrays))
        return made

    def _gates(
        self,
        saved: Mapping[str, tuple[str, bytes]],
        rng: np.random.Generator | None,
        begun: _Begun,
    ) -> dict[str, Gate]:
        """A plan that was given another gate since starts with a fresh one."""
        made = {}
        for plan, name in self._gate_names.items():
            kind, payload = saved.get(plan, ("", b""))
            load = partial(self._restored_gate, name, payload, rng)
            kept = begun.unless(f"gate.{plan}", load) if kind == name else None
            made[plan] = kept or self._fresh_gate(name, rng)
        return made

    def _restored_gate(self, name: str, payload: bytes, rng: np.random.Generator | None) -> Gate:
        version = self.context_map.version
        return load_gate(payload, self._gate_settings, version, rng, name=name)

    def _fresh_gate(self, name: str, rng: np.random.Generator | None) -> Gate:
        fresh = rng or np.random.default_rng(self._seed)
        return make_gate(name, self._gate_settings, self.context_map.version, fresh)


class _Begun:
    """Names of the parts of one snapshot that begin anew; each is logged once, by `told`."""

    def __init__(self, told: set[str]) -> None:
        self.parts: list[str] = []
        self._told = told

    def unless(self, part: str, restore: Callable[[], T]) -> T | None:
        """Returns what is restored, None where the part is of another form.

        Raises:
            BanditError: It is of this form, and what it holds can't have been learned.

        """
        try:
            return restore()
        except (CorruptSnapshot, VersionMismatch) as error:
            self.parts.append(part)
            if part not in self._told:
                self._told.add(part)
                _log.warning("%s of the snapshot begins anew: %s", part, type(error).__name__)
            return None


def _request_rates(saved: dict[str, Any] | None, begun: _Begun) -> RequestRates:
    def restored() -> RequestRates:
        with _fitting_snapshot("rates do"):
            return RequestRates(saved)

    return begun.unless("rates", restored) or RequestRates()


def _restore_promise(promise: Promise, arrays: Arrays) -> None:
    with _fitting_snapshot("promise does"):
        promise.restore(arrays)


@contextmanager
def _fitting_snapshot(what: str) -> Iterator[None]:
    """Raises CorruptSnapshot."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CorruptSnapshot(f"the snapshot's {what} not fit; go back to an older one") from None


def _judged(config: Config, catalog: Catalog) -> list[Plan]:
    """A verifier has a say in every ladder; without one the plain rules need no gate."""
    asked = config.judging.verifier is not None
    return [p for p in catalog.plans.values() if p.is_judged or (asked and len(p.rungs) > 1)]
