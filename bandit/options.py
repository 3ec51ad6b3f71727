"""What single policies are told besides the settings all share; each policy reads its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from bandit.errors import BadSettings
from bandit.types import Context, Vector

MAX_TREES: Final = 200
MAX_MEMORY: Final = 100_000


@dataclass(frozen=True, slots=True)
class Bound:
    """Holds where low <= features[index] <= high; `bandit.context.conditions` makes them."""

    index: int
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if self.index < 0 or not self.low <= self.high:
            raise BadSettings("a bound needs an index >= 0 and low <= high")

    def holds(self, features: Vector) -> bool:
        return self.low <= float(features[self.index]) <= self.high


@dataclass(frozen=True, slots=True)
class Tier:
    """Prompts of the length feature `least` or more; -inf for the first tier."""

    action: str
    least: float = -math.inf

    def __post_init__(self) -> None:
        if math.isnan(self.least):
            raise BadSettings("a tier's least length must be a number")


@dataclass(frozen=True, slots=True)
class Rule:
    """Applies where every bound holds."""

    action: str
    bounds: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class IntentOptions:
    """examples: by action, contexts of utterances that call for it.

    threshold: least cosine, in [-1, 1], of two projections that counts as alike.
    """

    examples: Mapping[str, tuple[Context, ...]] = field(default_factory=dict)
    threshold: float = 0.6

    def __post_init__(self) -> None:
        _within("intent.threshold", self.threshold, -1, 1)


@dataclass(frozen=True, slots=True)
class KnnOptions:
    """neighbours: outcomes of an action that are averaged. memory: outcomes kept in all.

    shrink: made-up neighbours at the action's overall mean.
    """

    neighbours: int = 30
    memory: int = 2_000
    shrink: float = 20.0

    def __post_init__(self) -> None:
        _within("knn.neighbours", self.neighbours, 1, 10_000)
        _within("knn.memory", self.memory, 1, MAX_MEMORY)
        _within("knn.shrink", self.shrink, 1e-3, 1e6)


@dataclass(frozen=True, slots=True)
class ClusterTableOptions:
    """shrink: made-up outcomes at the action's overall mean in every cluster."""

    shrink: float = 20.0

    def __post_init__(self) -> None:
        _within("cluster_table.shrink", self.shrink, 1e-3, 1e6)


@dataclass(frozen=True, slots=True)
class LinucbOptions:
    """alpha: standard deviations of optimism. ridge: lambda of the regression."""

    alpha: float = 0.3
    ridge: float = 1.0

    def __post_init__(self) -> None:
        _within("linucb.alpha", self.alpha, 0, 100)
        _within("linucb.ridge", self.ridge, 1e-3, 1e6)


@dataclass(frozen=True, slots=True)
class PairClassifierOptions:
    """actions: the two to choose between; None for the cheapest and the dearest eligible.

    refit_every: judged outcomes between two forests. memory: judged outcomes trained on.
    """

    actions: tuple[str, str] | None = None
    trees: int = 40
    depth: int = 6
    refit_every: int = 250
    memory: int = 4_000

    def __post_init__(self) -> None:
        if self.actions is not None and len(set(self.actions)) != 2:  # noqa: PLR2004 - a pair
            raise BadSettings("pair_classifier needs two different actions")
        _within("pair_classifier.trees", self.trees, 1, MAX_TREES)
        _within("pair_classifier.depth", self.depth, 1, 12)
        _within("pair_classifier.refit_every", self.refit_every, 1, MAX_MEMORY)
        _within("pair_classifier.memory", self.memory, 1, MAX_MEMORY)


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """fixed: the action of `fixed`; None for the first eligible one.

    random_mix: weight of each action, >= 0; an empty one means alike, a missing one 0.
    length:     tiers in rising order. rules: the first that applies counts.
    default:    the action of `rules` and `intent` where nothing applies.
    """

    fixed: str | None = None
    random_mix: Mapping[str, float] = field(default_factory=dict)
    length: tuple[Tier, ...] = ()
    rules: tuple[Rule, ...] = ()
    default: str | None = None
    intent: IntentOptions = field(default_factory=IntentOptions)
    knn: KnnOptions = field(default_factory=KnnOptions)
    cluster_table: ClusterTableOptions = field(default_factory=ClusterTableOptions)
    linucb: LinucbOptions = field(default_factory=LinucbOptions)
    pair_classifier: PairClassifierOptions = field(default_factory=PairClassifierOptions)

    def __post_init__(self) -> None:
        weights = self.random_mix.values()
        if not all(0 <= w < math.inf for w in weights) or (weights and not sum(weights) > 0):
            raise BadSettings("random_mix needs finite weights >= 0, one of them > 0")
        least = [tier.least for tier in self.length]
        if any(b <= a for a, b in pairwise(least)):
            raise BadSettings("length needs its tiers in rising order")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadSettings(f"{name} must be in [{low:g}, {high:g}]")
