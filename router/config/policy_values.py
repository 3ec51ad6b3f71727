"""Options of policies from the `policy` section of the config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bandit.context.conditions import bounds_of, least_length
from bandit.context.context_map import ContextMap
from bandit.policies.fixed import FixedOptions
from bandit.policies.intent import IntentOptions
from bandit.policies.length import LengthOptions, Tier
from bandit.policies.pair_classifier import PairClassifierOptions
from bandit.policies.random_mix import RandomMixOptions
from bandit.policies.rules import Rule, RulesOptions
from bandit.registry import POLICY_OPTIONS
from bandit.settings import FLOOR, EvidenceUse
from bandit.types import Context
from router.config.policy_schema import PairClassifierSection, PolicySection

Examples = Mapping[str, Sequence[Context]]

TRUST: Final = {
    "careful": EvidenceUse(joint=1.0, margin=0.04, doubt=1.0),
    "default": EvidenceUse(),
    "bold": EvidenceUse(margin=0.0),
}
"""Uses of prompts of which every plan is known, by `policy.trust`."""


def options_of(
    section: PolicySection, context_map: ContextMap, examples: Examples
) -> tuple[object, ...]:
    """Return one value per type in `POLICY_OPTIONS`.

    Options that are written in other units than the policy's are translated; the others have the
    fields of the section that is called as their policy. examples: of `intent`, embedded.

    Raises BadSettings.
    """
    translated = _translated(section, context_map, examples)
    done = {type(options) for options in translated}
    plain = {name.replace("-", "_"): kind for name, kind in POLICY_OPTIONS.items()}
    return (
        *translated,
        *(k(**getattr(section, key).model_dump()) for key, k in plain.items() if k not in done),
    )


def _translated(
    section: PolicySection, context_map: ContextMap, examples: Examples
) -> list[object]:
    default = section.default_plan or None
    tiers = (Tier(t.plan, least_length(t.min_characters, context_map)) for t in section.length)
    rules = (Rule(r.plan, bounds_of(r.when, context_map)) for r in section.rules)
    contexts = {plan: tuple(found) for plan, found in examples.items()}
    return [
        FixedOptions(section.fixed or None),
        RandomMixOptions(section.random_mix),
        LengthOptions(tuple(tiers)),
        RulesOptions(tuple(rules), default),
        IntentOptions(contexts, section.intent.threshold, default),
        _pair(section.pair_classifier),
    ]


def _pair(section: PairClassifierSection) -> PairClassifierOptions:
    plans = section.plans
    return PairClassifierOptions(
        actions=None if plans is None else (plans[0], plans[1]),
        **section.model_dump(exclude={"plans"}),
    )


def floor_of(section: PolicySection) -> float:
    """Return the least probability that is left to an eligible plan."""
    return FLOOR if section.exploration_floor is None else section.exploration_floor
