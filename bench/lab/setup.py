"""Config, catalog and decider of one replay, made the way the service makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from bandit import BanditError, ContextMap, Policy, PromptFacts, make_policy
from bandit.gates import Gate, make_gate
from bandit.models import forest_training
from bandit.policies.base import HeuristicPolicy
from bandit.policies.random_mix import RandomMixPolicy
from bandit.risk import Promise
from bench.lab.provider import PRICE
from bench.lab.recorded import BenchError
from bench.lab.streams import Split, Stream
from router.config import Config
from router.config.values import (
    catalog_of,
    gate_settings_of,
    promise_settings_of,
    settings_of,
    weights_of,
)
from router.domain.catalog import Catalog
from router.serving.decider import Decider

LEAST_PRIOR_USD: Final = 1e-7
PER_MTOK: Final = 1_000_000
Texts = Mapping[str, NDArray[np.float32]]
"""Embeddings of texts that are no prompts, by text."""


@dataclass(frozen=True, slots=True)
class PlanSpec:
    """A plan of the config: first -> gate -> strong, and a second arm that the gate may ask."""

    name: str
    first: str
    strong: str
    second: str = ""
    gate: str = "learned"

    def __str__(self) -> str:
        second = f" + {self.second}" if self.second else ""
        return f"{self.name} = {self.first}{second} > {self.strong} ({self.gate})"

    def section(self) -> dict[str, Any]:
        return {"rungs": [self.first, self.strong], "second": self.second, "gate": self.gate}


@dataclass(frozen=True, slots=True)
class Variant:
    """A policy as it is compared.

    vw: False takes the Vowpal Wabbit heads away. options: of the config's `policy` section, besides
    name and weights. plans: beside the single arms. detect_changes: see `bandit.PolicySettings`.
    evidence: of `bandit.settings.EvidenceUse`, in place of what the config says.
    """

    name: str
    policy: str
    vw: bool | None = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    plans: tuple[PlanSpec, ...] = ()
    detect_changes: bool = True
    evidence: Mapping[str, Any] = field(default_factory=dict, hash=False)


def config_of(
    stream: Stream, variant: Variant, cost_weight: float, typical_usd: Sequence[float] = ()
) -> Config:
    """List prices make a typical request cost `typical_usd`. Raises BenchError."""
    arms, free = stream.data.arms, [0.0] * len(stream.data.arms)
    sections = {
        "arms": {arm: _arm(arm, usd) for arm, usd in zip(arms, typical_usd or free, strict=True)},
        "plans": {arm: [arm] for arm in arms} | {p.name: p.section() for p in variant.plans},
        "policy": {
            "typical_tokens": {"input": 1, "output": PER_MTOK},
            **variant.options,
            "name": variant.policy,
            "weights": {"cost": cost_weight},
            "cost_unit_usd": stream.unit_usd,
        },
    }
    try:
        return Config.model_validate(sections)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found[:5])
        raise BenchError(f"the config section this replay needs is refused: {places}") from None


def _arm(name: str, typical_usd: float) -> dict[str, Any]:
    price = {"input_usd_per_mtok": 0, "output_usd_per_mtok": typical_usd}
    return {"deployments": [{"provider": "openai", "name": name, "model": name, "price": price}]}


def typical_usd(stream: Stream, split: Split) -> dict[str, float]:
    """Returns each arm's mean cost on held-out prompts."""
    means_usd = stream.data.cost_usd[split.priced].mean(axis=0).tolist()
    return dict(zip(stream.data.arms, means_usd, strict=True))


def catalog(
    config: Config, usd: Mapping[str, float], factors: Mapping[str, float] = MappingProxyType({})
) -> Catalog:
    """Returns a catalog that charges recorded costs.

    usd: typical cost of each arm, the price prior of its plan. factors: error of these priors.
    """
    made = catalog_of(config)
    arms = {
        name: replace(arm, deployments=tuple(replace(d, price=PRICE) for d in arm.deployments))
        for name, arm in made.arms.items()
    }
    priors = {arm: max(LEAST_PRIOR_USD, usd[arm]) * factors.get(arm, 1.0) for arm in usd}
    plans = {
        name: replace(plan, prior_cost_usd=priors.get(name, plan.prior_cost_usd))
        for name, plan in made.plans.items()
    }
    return replace(made, arms=arms, plans=plans)


def decider_of(
    config: Config,
    made: Catalog,
    variant: Variant,
    context_map: ContextMap,
    *,
    seed: int,
    texts: Texts = MappingProxyType({}),
) -> Decider:
    """Returns a decider that has learned nothing; texts: its examples. Raises BenchError."""
    examples = {
        plan: [context_map.build(texts[text], PromptFacts(text)) for text in given]
        for plan, given in config.policy.intent.examples.items()
    }
    try:
        settings = settings_of(config, made, context_map, examples)
    except BanditError as error:
        raise BenchError(f"policy {variant.name}: {error}") from None
    vw = frozenset() if variant.vw is False else settings.vw
    evidence = replace(settings.evidence, **variant.evidence)
    settings = replace(settings, vw=vw, detect_changes=variant.detect_changes, evidence=evidence)
    if settings.trees:
        forest_training.load()  # once per process: no part of what learning takes
    rng = np.random.default_rng([seed, 1])
    policy = make_policy(variant.policy, settings, context_map.version, rng)
    gates = gates_of(config, made, context_map, [seed, 3])
    promised = promise_settings_of(config).values()
    promises = {name: Promise(kept) for kept in promised for name in gates}
    return Decider(context_map, policy, weights_of(config), gates=gates, promises=promises)


def gates_of(
    config: Config, made: Catalog, context_map: ContextMap, seed: Sequence[int]
) -> dict[str, Gate]:
    """Returns fresh gates of the plans that have one."""
    settings, version = gate_settings_of(config, made, context_map), context_map.version
    return {
        plan.name: make_gate(plan.gate, settings, version, np.random.default_rng([*seed, i]))
        for i, plan in enumerate(made.plans.values())
        if plan.is_judged
    }


def example_texts(config: Config) -> list[str]:
    return [text for texts in config.policy.intent.examples.values() for text in texts]


def is_heuristic(policy: Policy) -> bool:
    """Returns whether the choice itself, and not an estimate, ranks the arms."""
    return isinstance(policy, HeuristicPolicy | RandomMixPolicy)
