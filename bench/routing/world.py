"""Config, catalogue and policy of one replay, made the way the service makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from bandit import ContextMap, Policy, make_policy
from bandit.policies.adaptive import NAME as ADAPTIVE
from bench.routing.errors import BenchError
from bench.routing.provider import PRICE
from bench.routing.streams import Drawn, Stream
from router.config import Config
from router.config.values import catalogue_of, settings_of, weights_of
from router.core.arms import Arm, Catalogue
from router.core.deciding import Decider

LEAST_PRIOR_USD = 1e-7


@dataclass(frozen=True, slots=True)
class Variant:
    """A policy as it is compared. vw: None where the policy has no such heads to switch off.

    options: of the config's `policy` section, besides its name and weights.
    """

    policy: str
    vw: bool | None = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or (f"{self.policy}, no VW" if self.vw is False else self.policy)


def variants_of(policy: str, vw: str, options: Mapping[str, Any]) -> list[Variant]:
    """vw: on | off | both."""
    if policy != ADAPTIVE:
        return [Variant(policy, None, options)]
    wanted = {"on": (True,), "off": (False,), "both": (True, False)}[vw]
    return [Variant(policy, on, options) for on in wanted]


def config_of(stream: Stream, variant: Variant, cost_weight: float) -> Config:
    """Raises BenchError where the service would refuse such a config."""
    arms = stream.data.arms
    price = {"input_usd_per_mtok": 0, "output_usd_per_mtok": 0}
    section = {"provider": "openai", "price": price}
    policy = {
        **variant.options,
        "name": variant.policy,
        "weights": {"cost": cost_weight},
        "cost_unit_usd": stream.unit_usd,
    }
    try:
        return Config.model_validate(
            {
                "arms": {a: {"deployments": [section | {"name": a, "model": a}]} for a in arms},
                "plans": {arm: [arm] for arm in arms},
                "policy": policy,
            }
        )
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found[:5])
        raise BenchError(f"the config section this replay needs is refused: {places}") from None


def catalogue(
    config: Config, stream: Stream, drawn: Drawn, prior_factors: Mapping[str, float]
) -> Catalogue:
    """With the recorded costs as prices, and typical costs of other prompts as price priors."""
    made = catalogue_of(config)
    typical_usd = stream.data.cost_usd[drawn.priced].mean(axis=0)
    priors = dict(zip(stream.data.arms, typical_usd.tolist(), strict=True))
    arms = {
        name: Arm(name, tuple(replace(d, price=PRICE) for d in arm.deployments))
        for name, arm in made.arms.items()
    }
    plans = {
        name: replace(
            plan,
            prior_cost_usd=max(LEAST_PRIOR_USD, priors[name]) * prior_factors.get(name, 1.0),
        )
        for name, plan in made.plans.items()
    }
    return Catalogue(arms, plans)


def policy_of(
    config: Config, made: Catalogue, variant: Variant, context_map: ContextMap, seed: int
) -> Policy:
    settings = settings_of(config, made, context_map)
    if variant.vw is False:
        settings = replace(settings, vw=frozenset())
    rng = np.random.default_rng([seed, 1])
    return make_policy(variant.policy, settings, context_map.version, rng)


def decider_of(config: Config, context_map: ContextMap, policy: Policy) -> Decider:
    return Decider(context_map, policy, weights_of(config))
