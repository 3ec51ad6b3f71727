"""Translates config sections into the values of the rooms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from bandit.context.context_map import ContextMap
from bandit.context.remap import Refit
from bandit.errors import CorruptContextMap
from bandit.gates import GateSettings
from bandit.risk import PromiseSettings
from bandit.settings import PolicySettings
from bandit.types import Units, Weights
from router.config.checks import default_plans
from router.config.policy_checks import plans_named
from router.config.policy_schema import PolicySection
from router.config.policy_values import TRUST, Examples, floor_of, options_of
from router.config.schema import ArmSection, Config, DeploymentSection, PlanSection
from router.domain.catalog import (
    ASKING_SHARE,
    ESCALATION_SHARE,
    LEARNED,
    LEAST_PRIOR_USD,
    PROVIDERS,
    Arm,
    BodyRules,
    Catalog,
    Deployment,
    Plan,
    Price,
)
from router.domain.chat import Usage
from router.domain.errors import ConfigInvalid, ConfigProblem
from router.domain.records import BASE
from router.gates.signals import N_SIGNALS, SIGNALS_VERSION
from router.learning.rewards import RewardSettings
from router.learning.training import Trainer
from router.learning.upgrades import Upgrade
from router.ports.observer import Observer
from router.serving.request_prices import RequestPrices

DRAIN_MARGIN_MS = 5_000
"""Time to record and hand out an answer that came at the last moment."""
CAUTION = 400.0
"""Judged outcomes of its own after which another plan takes all it may from the one that is
preferred while nothing is known; calibrating brings most of them.
"""
DEPLOYMENT_SHARE = 0.75
"""Share of a router's calls that may be under way at one deployment among several."""


def catalog_of(config: Config) -> Catalog:
    arms = {name: _arm(config, name, section) for name, section in config.arms.items()}
    written = config.plans or {
        name: PlanSection(rungs=rungs, gate="rules")
        for name, rungs in default_plans(list(arms)).items()
    }
    plans = {name: _plan(arms, name, section) for name, section in written.items()}
    kept = _named(config)
    if config.policy.covered_arms == "spare":
        plans = {n: replace(p, spare=len(p.rungs) == 1 and n not in kept) for n, p in plans.items()}
    fallback = config.fallback or ("fallback" if "fallback" in arms else "")
    return Catalog(arms, plans, fallback)


def _named(config: Config) -> set[str]:
    """Plans that a policy, the one that serves or a challenger, is told to choose."""
    sections = members_of(config).values()
    return {n for section in sections for n in plans_named(section.model_dump(mode="json"))}


def drain_ms_of(config: Config) -> int:
    """Returns how long calls under way may take to end; none that was paid for is cut off."""
    return config.server.drain_ms or _longest_ms(config) + DRAIN_MARGIN_MS


def cut_off_by_drain(config: Config, started_ms: int | None = None) -> str:
    """Says which calls the end of a drain cuts off; "" where it is long enough.

    started_ms: the drain time of the process, which does not change with its arms.
    """
    drain_ms, longest_ms = started_ms or drain_ms_of(config), _longest_ms(config)
    if drain_ms >= longest_ms:
        return ""
    fix = "it is that of the start" if started_ms else "leave drain_ms out"
    return (
        f"server.drain_ms {drain_ms} is shorter than the longest timeout_ms {longest_ms}: calls "
        f"that were paid for are cut off at a restart; {fix}"
    )


def _longest_ms(config: Config) -> int:
    return max(d.timeout_ms for arm in config.arms.values() for d in arm.deployments)


def cold_start_of(config: Config, catalog: Catalog) -> str:
    """The plan preferred before anything is known: cheap first, then escalate."""
    if config.policy.cold_start:
        return config.policy.cold_start
    ladders = [p.name for p in catalog.plans.values() if len(p.rungs) > 1]
    cheapest = min(catalog.plans.values(), key=lambda plan: plan.prior_cost_usd).name
    return ladders[0] if ladders else cheapest


def caution_of(config: Config, catalog: Catalog) -> float:
    """Beside a plan whose gate learns: that plan adapts by itself while little is known."""
    return CAUTION if catalog.plans[cold_start_of(config, catalog)].gate == LEARNED else 0.0


def units_of(config: Config, catalog: Catalog) -> Units:
    dearest = max(plan.prior_cost_usd for plan in catalog.plans.values())
    return Units(config.policy.cost_unit_usd or dearest, config.policy.latency_unit_ms)


def weights_of(config: Config) -> Weights:
    return Weights(**config.policy.weights.model_dump())


def members_of(config: Config) -> dict[str, PolicySection]:
    """Returns who may serve: the section `policy`, then its challengers completed from it."""
    members = {BASE: config.policy}
    for name, section in config.challengers.items():
        changed = {key: getattr(section, key) for key in section.model_fields_set}
        members[name] = config.policy.model_copy(update=changed)
    return members


def context_map_of(config: Config) -> ContextMap:
    """The one `policy.context_map` names, else the one shipped. Raises ConfigInvalid."""
    return refit_of(config).map


def refit_of(config: Config) -> Refit:
    """Returns the map with what leads to it from earlier maps and its layout, where refitted.

    A file that the learner is still to write stands for the one shipped.
    """
    path = config.policy.context_map
    if path is None or (config.map.refit_every_h and not path.exists()):
        return Refit(ContextMap.default())
    try:
        return Refit.load(path)
    except CorruptContextMap as error:
        raise ConfigInvalid(ConfigProblem("", 0, "policy.context_map", str(error))) from None


def upgrade_of(config: Config) -> Upgrade:
    return Upgrade(refit_of(config).remap, config.renamed)


def request_prices_of(config: Config, catalog: Catalog) -> RequestPrices:
    policy = config.policy
    return RequestPrices(catalog, policy.typical_tokens.output, policy.most_turns_ahead)


def trainer_of(config: Config, catalog: Catalog, observer: Observer) -> Trainer:
    rewards = RewardSettings(config.learning.implicit_weight)
    return Trainer(catalog.plans, rewards, observer, units_of(config, catalog))


def settings_of(
    config: Config,
    catalog: Catalog,
    context_map: ContextMap,
    examples: Examples = MappingProxyType({}),
) -> PolicySettings:
    """Returns the settings of the policy; examples: of `policy.intent`, embedded.

    Raises BadSettings where contexts of this map cannot tell what the config wants told apart.
    """
    return PolicySettings(
        units=units_of(config, catalog),
        weights=weights_of(config),
        shape=context_map.shape,
        cold_start=cold_start_of(config, catalog),
        caution=caution_of(config, catalog),
        initial_pulls=config.policy.initial_pulls,
        floor=floor_of(config.policy),
        thrifty=config.policy.exploration_floor is None,
        scale=config.policy.draw_width,
        evidence=replace(TRUST[config.policy.trust], bought=config.evidence is not None),
        vw=frozenset(config.policy.vowpal_wabbit),
        trees=config.policy.trees,
        options=options_of(config.policy, context_map, examples),
    )


def gate_settings_of(config: Config, catalog: Catalog, context_map: ContextMap) -> GateSettings:
    """Returns the settings of every plan's gate."""
    return GateSettings(
        units=units_of(config, catalog),
        shape=context_map.shape,
        signals=N_SIGNALS,
        signals_version=SIGNALS_VERSION,
    )


def promise_settings_of(config: Config) -> dict[str, PromiseSettings]:
    """Returns promises by tenant; "" for all that are not named."""
    policy = config.policy
    sections = {**({"": policy.promise} if policy.promise else {}), **policy.tenant_promises}
    return {
        tenant: PromiseSettings(max_bad=section.max_bad_accept, confidence=section.confidence)
        for tenant, section in sections.items()
    }


def keys_of(config: Config, env: Mapping[str, str]) -> dict[str, str]:
    """Deployment name -> API key, for those that have one. Raises ConfigInvalid."""
    sections = [d for arm in config.arms.values() for d in arm.deployments]
    return {d.name: key for d in sections if (key := _key(d, env))}


def _key(section: DeploymentSection, env: Mapping[str, str]) -> str:
    if section.api_key_env:
        return env.get(section.api_key_env, "")
    if section.api_key_file is None:
        return ""
    try:
        return section.api_key_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        fix = "name a text file that this process can read"
        raise ConfigInvalid(ConfigProblem("", 0, f"{section.name}.api_key_file", fix)) from None


def headers_of(config: Config, env: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Deployment name -> further headers, names in small letters, for those that have any."""
    sections = [d for arm in config.arms.values() for d in arm.deployments]
    return {
        d.name: {name.lower(): env.get(variable, "") for name, variable in d.headers.items()}
        for d in sections
        if d.headers
    }


def _max_in_flight(config: Config) -> int:
    """Returns the default: one deployment that hangs leaves room for the others."""
    most = min(config.server.max_in_flight, config.providers.max_connections)
    is_only = sum(len(arm.deployments) for arm in config.arms.values()) == 1
    return most if is_only else max(1, int(most * DEPLOYMENT_SHARE))


def _deployment(section: DeploymentSection, max_in_flight: int) -> Deployment:
    return Deployment(
        name=section.name,
        provider=section.provider,
        base_url=str(section.base_url or PROVIDERS[section.provider]).rstrip("/"),
        model=section.model,
        price=Price(**section.price.model_dump()),
        context_window_tokens=section.context_window_tokens,
        max_output_tokens=section.max_output_tokens,
        timeout_ms=section.timeout_ms,
        tools=section.tools,
        images=section.images,
        json_schema=section.json_schema,
        logprobs=section.logprobs,
        first_byte_ms=section.first_byte_ms,
        between_bytes_ms=section.between_bytes_ms,
        max_in_flight=section.max_in_flight or max_in_flight,
        always_stream=section.always_stream,
        rules=_rules(section),
        prompt_caching=section.prompt_caching == "automatic",
        cache_ttl_s=section.cache_ttl_s,
        cache_least_tokens=section.cache_least_tokens,
    )


def _rules(section: DeploymentSection) -> BodyRules:
    strict, parameters = section.strict_schema, section.parameters
    return BodyRules(
        limit_field=section.limit_field,
        omit=section.omit,
        parameters=json.dumps(parameters, allow_nan=False) if parameters else "",
        stream_usage=section.stream_usage,
        strict_schema=None if strict == "auto" else strict,
        max_stops=section.max_stops,
        max_temperature=section.max_temperature,
        call_id_length=section.call_id_length,
        alternate_roles=section.alternate_roles,
    )


def _plan(arms: Mapping[str, Arm], name: str, section: PlanSection) -> Plan:
    costs = [arms[rung].prior_cost_usd for rung in section.rungs]
    cost_usd = sum(c * ESCALATION_SHARE**i for i, c in enumerate(costs))
    if section.second:
        cost_usd += arms[section.second].prior_cost_usd * ASKING_SHARE
    return Plan(name, section.rungs, max(LEAST_PRIOR_USD, cost_usd), section.gate, section.second)


def _arm(config: Config, name: str, section: ArmSection) -> Arm:
    max_in_flight = _max_in_flight(config)
    deployments = tuple(_deployment(d, max_in_flight) for d in section.deployments)
    typical = config.policy.typical_tokens
    cost_usd = deployments[0].price.cost_usd(Usage(typical.input, typical.output))
    return Arm(name, deployments, cost_usd)
