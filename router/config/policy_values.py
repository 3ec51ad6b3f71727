"""From the `policy` section to what the policy is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bandit.context.conditions import bounds_of, least_length
from bandit.context.context_map import ContextMap
from bandit.options import (
    ClusterTableOptions,
    IntentOptions,
    KnnOptions,
    LinucbOptions,
    PairClassifierOptions,
    PolicyOptions,
    Rule,
    Tier,
)
from bandit.settings import FLOOR
from bandit.types import Context
from router.config.policy_schema import PairClassifierSection, PolicySection

Examples = Mapping[str, Sequence[Context]]


def options_of(
    section: PolicySection, context_map: ContextMap, examples: Examples
) -> PolicyOptions:
    """examples: of `intent`, embedded. Raises BadSettings."""
    return PolicyOptions(
        fixed=section.fixed or None,
        random_mix=section.random_mix,
        length=tuple(
            Tier(tier.plan, least_length(tier.min_characters, context_map))
            for tier in section.length
        ),
        rules=tuple(Rule(r.plan, bounds_of(r.when, context_map)) for r in section.rules),
        default=section.default_plan or None,
        intent=IntentOptions(
            {plan: tuple(contexts) for plan, contexts in examples.items()},
            section.intent.threshold,
        ),
        knn=KnnOptions(**section.knn.model_dump()),
        cluster_table=ClusterTableOptions(**section.cluster_table.model_dump()),
        linucb=LinucbOptions(**section.linucb.model_dump()),
        pair_classifier=_pair(section.pair_classifier),
    )


def _pair(section: PairClassifierSection) -> PairClassifierOptions:
    plans = section.plans
    return PairClassifierOptions(
        actions=None if plans is None else (plans[0], plans[1]),
        **section.model_dump(exclude={"plans"}),
    )


def floor_of(section: PolicySection) -> float:
    """The least probability that is left to an eligible plan."""
    return FLOOR if section.exploration_floor is None else section.exploration_floor
