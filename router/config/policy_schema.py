"""The `policy` section: names, bounds and defaults of its keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from router.config.section import ConfigSection

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


HeadName = Literal["quality", "cost", "latency", "failure"]


class WeightsSection(ConfigSection):
    """Weights of the utility of a plan; a request may bring its own."""

    quality: Weight = 1.0
    """Worth of quality 1."""
    cost: Weight = 0.1
    """Price of one `cost_unit_usd`."""
    latency: Weight = 0.0
    """Price of one `latency_unit_ms`."""
    failure: Weight = 0.5
    """Price of a request that fails."""


class TokensSection(ConfigSection):
    """A typical request."""

    input: Tokens = 400
    """Its input tokens."""
    output: Tokens = 400
    """Its output tokens."""


class TierSection(ConfigSection):
    """A tier of policy `length`."""

    plan: str
    """The plan of the tier."""
    min_characters: Annotated[int, Field(ge=0, le=1_000_000, strict=True)] = 0
    """Characters of the prompt from which the tier applies."""


class RuleSection(ConfigSection):
    """A rule of policy `rules`."""

    plan: str
    """The plan that the rule chooses."""
    when: Annotated[dict[str, Any], Field(min_length=1, max_length=16)]
    """Conditions on the prompt, all of which must hold."""


class IntentSection(ConfigSection):
    """Read by policy `intent`."""

    examples: dict[str, Utterances] = Field(default_factory=dict, max_length=64)
    """Prompts that call for a plan, by plan."""
    threshold: Annotated[float, Field(ge=-1, le=1)] = 0.6
    """Least cosine of two projected prompts that counts as alike."""


class KnnSection(ConfigSection):
    """Read by policy `knn`."""

    neighbours: Annotated[int, Field(ge=1, le=1_000, strict=True)] = 30
    """Outcomes of a plan that are averaged."""
    memory: Memory = 2_000
    """Outcomes kept in all."""
    shrink: Shrink = 20.0
    """Made-up neighbours at the plan's overall mean."""


class ClusterTableSection(ConfigSection):
    """Read by policy `cluster-table`."""

    shrink: Shrink = 20.0
    """Made-up outcomes at the plan's overall mean in every cluster."""


class LinucbSection(ConfigSection):
    """Read by policy `linucb`."""

    alpha: Annotated[float, Field(ge=0, le=100)] = 0.3
    """Standard deviations of optimism."""
    ridge: Shrink = 1.0
    """Regularization of the regression."""


class PairClassifierSection(ConfigSection):
    """Read by policy `pair-classifier`."""

    plans: Annotated[tuple[str, ...], Field(min_length=2, max_length=2)] | None = None
    """The two to choose between; unset: the cheapest and the dearest of those eligible."""
    trees: Annotated[int, Field(ge=1, le=200, strict=True)] = 40
    """Trees of a forest."""
    depth: Annotated[int, Field(ge=1, le=12, strict=True)] = 6
    """Greatest depth of a tree."""
    refit_every: Annotated[int, Field(ge=10, le=20_000, strict=True)] = 250
    """Judged outcomes between two forests."""
    memory: Memory = 4_000
    """Judged outcomes that a forest is trained on."""


class PromiseSection(ConfigSection):
    """A bound on the share of accepted first answers that are bad, in plans whose gate judges."""

    max_bad_accept: Annotated[float, Field(ge=1e-4, le=0.5)] = 0.05
    """Greatest share of accepted answers that may be bad."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Confidence with which that holds."""


class PolicySection(ConfigSection):
    """How a plan is chosen. Sections from `fixed` on are read by the policy of that name alone."""

    name: PolicyName = "adaptive"
    """The kind of policy."""
    cold_start: str = ""
    """Plan preferred before anything is learned; unset: the first ladder of arms, else the cheapest
    plan."""
    covered_arms: Literal["spare", "offered"] = "spare"
    """`spare`: an arm alone is chosen among only where no plan with a learned gate that calls it
    may be had, or where this section names it. `offered`: always."""
    observe: str = ""
    """Arm that serves while the policy only watches; empty to let the policy choose."""
    weights: WeightsSection = WeightsSection()
    """Weights of the utility."""
    cost_unit_usd: Positive | None = None
    """The cost that `weights.cost` prices; unset: the dearest plan's for `typical_tokens`."""
    latency_unit_ms: Positive = 10_000.0
    """The latency that `weights.latency` prices."""
    typical_tokens: TokensSection = TokensSection()
    """A typical request, for the unit of cost. Each is priced by its own input and this output."""
    most_turns_ahead: Annotated[float, Field(ge=0, le=30)] = 3.0
    """Further turns of a conversation that a choice is valued for at most; 0: this turn alone."""
    context_map: Path | None = None
    """File of clusters and projection, written by `map refit`; unset: the one shipped."""
    exploration_floor: Annotated[float, Field(ge=0.0001, le=0.05)] | None = None
    """Least probability of an eligible plan; unset: .001, and with `adaptive` down to .0001 for a
    plan it expects to be far behind."""
    initial_pulls: Annotated[int, Field(ge=0, le=100)] = 3
    """Judged outcomes of a plan before its estimate is trusted."""
    draw_width: Annotated[float, Field(ge=0.01, le=10)] = 0.5
    """Factor on the posterior's standard deviation in `adaptive`'s draws; wider explores more."""
    trust: Literal["careful", "default", "bold"] = "default"
    """How far `adaptive` leaves the plan that is best on average, once it knows 100 prompts with
    every plan's outcome: `careful` for a sure gain alone, `bold` for any."""
    vowpal_wabbit: Annotated[tuple[HeadName, ...], Field(max_length=4)] = ("quality",)
    """Outcomes of `adaptive` that a Vowpal Wabbit regressor advises on."""
    trees: Annotated[int, Field(ge=0, le=200, strict=True)] = 25
    """Trees beside `adaptive`'s linear model of quality; 0 for none."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the learner's randomness; routers seed theirs from the system."""
    fixed: str = ""
    """Policy `fixed`: the plan."""
    random_mix: dict[str, Share] = Field(default_factory=dict, max_length=64)
    """Policy `random-mix`: the share of each plan."""
    length: Annotated[tuple[TierSection, ...], Field(max_length=16)] = ()
    """Policy `length`: tiers, by rising `min_characters`."""
    rules: Annotated[tuple[RuleSection, ...], Field(max_length=64)] = ()
    """Policy `rules`: the first one that applies chooses."""
    default_plan: str = ""
    """Policies `rules` and `intent`: the plan where nothing applies."""
    intent: IntentSection = IntentSection()
    """Policy `intent`."""
    knn: KnnSection = KnnSection()
    """Policy `knn`."""
    cluster_table: ClusterTableSection = ClusterTableSection()
    """Policy `cluster-table`."""
    linucb: LinucbSection = LinucbSection()
    """Policy `linucb`."""
    pair_classifier: PairClassifierSection = PairClassifierSection()
    """Policy `pair-classifier`."""
    promise: PromiseSection | None = None
    """The promise to every tenant; unset: none."""
    tenant_promises: dict[str, PromiseSection] = Field(default_factory=dict, max_length=32)
    """Promises to single tenants, by evidence of their own, in place of `promise`."""
