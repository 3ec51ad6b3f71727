"""Config, catalog and policy of one replay, made the way the service makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from bandit import BanditError, ContextMap, Policy, PromptFacts, make_policy
from bandit.adaptive.policy import NAME as ADAPTIVE
from bandit.policies.base import HeuristicPolicy
from bandit.policies.fixed import NAME as FIXED
from bandit.policies.random_mix import RandomMixPolicy
from bench.routing.errors import BenchError
from bench.routing.presets import preset
from bench.routing.provider import PRICE
from bench.routing.streams import Drawn, Stream
from router.config import Config
from router.config.values import catalog_of, settings_of, weights_of
from router.domain.catalog import Arm, Catalog
from router.serving.decider import Decider

LEAST_PRIOR_USD = 1e-7


@dataclass(frozen=True, slots=True)
class Variant:
    """A policy as it is compared. vw: None where the policy has no such heads to switch off.

    options: of the config's `policy` section, besides its name and weights. detect_changes: see
    `bandit.PolicySettings`.
    """

    name: str
    policy: str
    vw: bool | None = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    detect_changes: bool = True


def variants_of(
    policy: str, vw: str, options: Mapping[str, Any], arms: Sequence[str]
) -> list[Variant]:
    """vw: on | off | both. `fixed` comes once per arm, unless the options name one."""
    if policy == ADAPTIVE:
        wanted = {"on": (True,), "off": (False,), "both": (True, False)}[vw]
        names = {True: policy, False: f"{policy}, no VW"}
        return [Variant(names[on], policy, on, options) for on in wanted]
    if policy == FIXED and FIXED not in options:
        return [Variant(f"{policy}: {a}", policy, None, {**options, FIXED: a}) for a in arms]
    return [Variant(policy, policy, None, options)]


def config_of(stream: Stream, variant: Variant, cost_weight: float) -> Config:
    """Raises BenchError where the service would refuse such a config."""
    arms = stream.data.arms
    price = {"input_usd_per_mtok": 0, "output_usd_per_mtok": 0}
    section = {"provider": "openai", "price": price}
    by_cost = stream.data.cost_usd.mean(axis=0).argsort(kind="stable")
    policy = {
        **preset(variant.policy, [arms[i] for i in by_cost]),
        **variant.options,
        "name": variant.policy,
        "weights": {"cost": cost_weight},
        "cost_unit_usd": stream.unit_usd,
    }
    return checked(
        {
            "arms": {a: {"deployments": [section | {"name": a, "model": a}]} for a in arms},
            "plans": {arm: [arm] for arm in arms},
            "policy": policy,
        }
    )


def checked(sections: Mapping[str, Any]) -> Config:
    """Raises BenchError where the service would refuse them."""
    try:
        return Config.model_validate(sections)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found[:5])
        raise BenchError(f"the config section this replay needs is refused: {places}") from None


def catalog(
    config: Config, stream: Stream, drawn: Drawn, prior_factors: Mapping[str, float]
) -> Catalog:
    """With the recorded costs as prices, and typical costs of other prompts as price priors."""
    made = catalog_of(config)
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
    return Catalog(arms, plans)


def policy_of(
    config: Config,
    made: Catalog,
    variant: Variant,
    context_map: ContextMap,
    *,
    utterances: Mapping[str, NDArray[np.float32]],
    seed: int,
) -> Policy:
    """utterances: embeddings of the config's examples, by text. Raises BenchError."""
    examples = {
        plan: [context_map.build(utterances[text], PromptFacts(text)) for text in texts]
        for plan, texts in config.policy.intent.examples.items()
    }
    try:
        settings = settings_of(config, made, context_map, examples)
    except BanditError as error:
        raise BenchError(f"policy {variant.name}: {error}") from None
    if variant.vw is False:
        settings = replace(settings, vw=frozenset())
    settings = replace(settings, detect_changes=variant.detect_changes)
    rng = np.random.default_rng([seed, 1])
    return make_policy(variant.policy, settings, context_map.version, rng)


def utterances_of(config: Config) -> list[str]:
    return [text for texts in config.policy.intent.examples.values() for text in texts]


def is_told(policy: Policy) -> bool:
    """Whether its choice, and not its estimates, says what it thinks of a prompt."""
    return isinstance(policy, HeuristicPolicy | RandomMixPolicy)


def decider_of(config: Config, context_map: ContextMap, policy: Policy) -> Decider:
    return Decider(context_map, policy, weights_of(config))
