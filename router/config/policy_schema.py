"""The `policy` section: names, bounds and defaults of its keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from router.config.section import Section

Positive = Annotated[float, Field(gt=0, le=1e9)]
Weight = Annotated[float, Field(ge=0, le=10)]
Shrink = Annotated[float, Field(ge=0.001, le=1e6)]
Tokens = Annotated[int, Field(ge=1, le=2_000_000_000, strict=True)]
Utterance = Annotated[str, Field(min_length=1, max_length=4_000)]
Utterances = Annotated[tuple[Utterance, ...], Field(min_length=1, max_length=64)]
Share = Annotated[float, Field(ge=0, le=1e6)]
Memory = Annotated[int, Field(ge=100, le=20_000, strict=True)]

PolicyName = Literal[
    "adaptive",
    "fixed",
    "random-mix",
    "length",
    "rules",
    "intent",
    "pair-classifier",
    "cluster-table",
    "knn",
    "thompson",
    "linucb",
    "squarecb",
    "cover",
    "regcb",
    "epsilon",
]


class WeightsSection(Section):
    quality: Weight = 1.0
    cost: Weight = 0.1
    latency: Weight = 0.0
    failure: Weight = 0.5


class TokensSection(Section):
    input: Tokens = 400
    output: Tokens = 400


class TierSection(Section):
    plan: str
    min_characters: Annotated[int, Field(ge=0, le=1_000_000, strict=True)] = 0


class RuleSection(Section):
    """A rule. when: conditions of `bandit.context.conditions.KEYS`, all of which must hold."""

    plan: str
    when: Annotated[dict[str, Any], Field(min_length=1, max_length=16)]


class IntentSection(Section):
    """Intents. examples: by plan, utterances that call for it. threshold: a cosine."""

    examples: dict[str, Utterances] = Field(default_factory=dict, max_length=64)
    threshold: Annotated[float, Field(ge=-1, le=1)] = 0.6


class KnnSection(Section):
    neighbours: Annotated[int, Field(ge=1, le=1_000, strict=True)] = 30
    memory: Memory = 2_000
    shrink: Shrink = 20.0


class ClusterTableSection(Section):
    shrink: Shrink = 20.0


class LinucbSection(Section):
    alpha: Annotated[float, Field(ge=0, le=100)] = 0.3
    ridge: Shrink = 1.0


class PairClassifierSection(Section):
    """A pair of plans; unset, the cheapest and the dearest of those eligible."""

    plans: Annotated[tuple[str, ...], Field(min_length=2, max_length=2)] | None = None
    trees: Annotated[int, Field(ge=1, le=200, strict=True)] = 40
    depth: Annotated[int, Field(ge=1, le=12, strict=True)] = 6
    refit_every: Annotated[int, Field(ge=10, le=20_000, strict=True)] = 250
    memory: Memory = 4_000


class PromiseSection(Section):
    """At most this share of accepted first answers is bad, of every plan whose gate judges.

    A section in `tenant_promises` holds for that tenant alone, by evidence of its own.
    """

    max_bad_accept: Annotated[float, Field(ge=1e-4, le=0.5)] = 0.05
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95


HeadName = Literal["quality", "cost", "latency", "failure"]


class PolicySection(Section):
    """Who chooses, and how. draw_width: a factor on `adaptive`'s uncertainty; wider explores more.

    exploration_floor: the least probability of an eligible plan; unset: .001, and for `adaptive`
    down to a tenth of that for a plan it expects to be far behind.
    vowpal_wabbit: heads of `adaptive` that a regressor on the whole projection advises.
    trees: how many stand beside its linear model of quality; 0 for none.
    cost_unit_usd: what costs `weights.cost` of quality; unset: the dearest plan's prior cost.

    covered_arms: whether an arm alone is also chosen among where a plan with a learned gate calls
    it; spare: only where no such plan may be had, or where it is named in this section.
    observe: the arm that serves while the policy only watches; "" to let the policy choose.
    typical_tokens: tokens of a request, for the prior cost of plans. Sections from `fixed` on are
    each read by the policy of that name; default_plan by `rules` and `intent`.
    """

    name: PolicyName = "adaptive"
    cold_start: str = ""
    covered_arms: Literal["spare", "offered"] = "spare"
    observe: str = ""
    weights: WeightsSection = WeightsSection()
    cost_unit_usd: Positive | None = None
    latency_unit_ms: Positive = 10_000.0
    typical_tokens: TokensSection = TokensSection()
    context_map: Path | None = None
    exploration_floor: Annotated[float, Field(ge=0.0001, le=0.05)] | None = None
    initial_pulls: Annotated[int, Field(ge=0, le=100)] = 3
    draw_width: Annotated[float, Field(ge=0.01, le=10)] = 0.5
    vowpal_wabbit: Annotated[tuple[HeadName, ...], Field(max_length=4)] = ("quality",)
    trees: Annotated[int, Field(ge=0, le=200, strict=True)] = 25
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    fixed: str = ""
    random_mix: dict[str, Share] = Field(default_factory=dict, max_length=64)
    length: Annotated[tuple[TierSection, ...], Field(max_length=16)] = ()
    rules: Annotated[tuple[RuleSection, ...], Field(max_length=64)] = ()
    default_plan: str = ""
    intent: IntentSection = IntentSection()
    knn: KnnSection = KnnSection()
    cluster_table: ClusterTableSection = ClusterTableSection()
    linucb: LinucbSection = LinucbSection()
    pair_classifier: PairClassifierSection = PairClassifierSection()
    promise: PromiseSection | None = None
    tenant_promises: dict[str, PromiseSection] = Field(default_factory=dict, max_length=32)
