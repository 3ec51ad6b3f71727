"""Config, catalog, policy and gates of one replay, made the way the service makes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from bandit import ContextMap, make_policy
from bandit.adaptive.policy import NAME as ADAPTIVE
from bandit.gates import Gate, make_gate
from bandit.policies.fixed import NAME as FIXED
from bandit.risk import Promise
from bench.cascade.plans import PlanSpec
from bench.routing.provider import PRICE
from bench.routing.streams import Drawn, Stream
from bench.routing.world import checked
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

SINGLE: Final = "single arm"
PERFECT: Final = "perfect gate"
PER_MTOK: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Variant:
    """What is compared. kind: a policy, or `SINGLE` or `PERFECT`, which need no replay.

    specs: the plans it has beside the single arms. fixed: the plan or arm it always takes. vw:
    whether the policy's quality heads use it. covered_arms: as in the config.
    """

    name: str
    kind: str
    specs: tuple[PlanSpec, ...] = ()
    fixed: str = ""
    vw: bool = True
    covered_arms: str = "spare"


@dataclass(frozen=True, slots=True)
class Pledge:
    """Of accepted cheap answers: the share that may be bad, and with which confidence."""

    max_bad: float
    confidence: float


def config_of(
    stream: Stream,
    drawn: Drawn,
    variant: Variant,
    cost_weight: float,
    pledge: Pledge | None = None,
) -> Config:
    """List prices are such that a typical request costs what others outside the stream did.

    Raises BenchError where the service would refuse such a config.
    """
    arms = stream.data.arms
    typical_usd = stream.data.cost_usd[drawn.priced].mean(axis=0).tolist()
    plans: dict[str, Any] = {arm: [arm] for arm in arms}
    policy: dict[str, Any] = {
        "name": variant.kind,
        "weights": {"cost": cost_weight},
        "cost_unit_usd": stream.unit_usd,
        "typical_tokens": {"input": 1, "output": PER_MTOK},
        "covered_arms": variant.covered_arms,
    }
    if pledge is not None:
        share = {"max_bad_accept": pledge.max_bad, "confidence": pledge.confidence}
        policy["promise"] = share
    return checked(
        {
            "arms": {arm: _arm(arm, usd) for arm, usd in zip(arms, typical_usd, strict=True)},
            "plans": plans | {spec.name: spec.section() for spec in variant.specs},
            "policy": policy | ({FIXED: variant.fixed} if variant.kind == FIXED else {}),
        }
    )


def _arm(name: str, typical_usd: float) -> dict[str, Any]:
    price = {"input_usd_per_mtok": 0, "output_usd_per_mtok": typical_usd}
    return {"deployments": [{"provider": "openai", "name": name, "model": name, "price": price}]}


def catalog(config: Config) -> Catalog:
    """With the recorded costs as what is charged; prior costs stay those of the list prices."""
    made = catalog_of(config)
    arms = {
        name: replace(arm, deployments=tuple(replace(d, price=PRICE) for d in arm.deployments))
        for name, arm in made.arms.items()
    }
    return replace(made, arms=arms)


class Brain:
    """What learns, and fresh ones of it. seed: of the draws; each has its own."""

    def __init__(
        self, config: Config, made: Catalog, context_map: ContextMap, variant: Variant, seed: int
    ) -> None:
        self._plans = made.plans
        self._version = context_map.version
        self._gate_settings = gate_settings_of(config, made, context_map)
        settings = settings_of(config, made, context_map)
        if variant.kind == ADAPTIVE and not variant.vw:
            settings = replace(settings, vw=frozenset())
        self._seed = seed
        policy = make_policy(
            variant.kind, settings, self._version, np.random.default_rng([seed, 1])
        )
        self.decider = Decider(context_map, policy, weights_of(config), gates=self.gates(3))
        self.decider.promises = {
            plan.name: Promise(pledged)
            for pledged in promise_settings_of(config).values()
            for plan in made.plans.values()
            if plan.is_judged
        }

    def gates(self, number: int) -> dict[str, Gate]:
        """By plan. number: other draws for each."""
        return {
            plan.name: make_gate(
                plan.gate,
                self._gate_settings,
                self._version,
                np.random.default_rng([self._seed, number, i]),
            )
            for i, plan in enumerate(self._plans.values())
            if plan.is_judged
        }
