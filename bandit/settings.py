"""What a policy is told when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from bandit.errors import BadSettings, BadWeights
from bandit.options import PolicyOptions
from bandit.types import Units, Weights

MAX_ACTIONS = 256
FLOOR = 0.001


@dataclass(frozen=True, slots=True)
class ContextShape:
    """Dimensions of the contexts a policy learns from; those of `ContextMap.shape`."""

    clusters: int = 32
    axes: int = 32
    features: int = 15

    @property
    def total(self) -> int:
        return self.clusters + self.axes + self.features


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Settings of every policy; each reads the ones it has a use for.

    units:          what one unit of cost and of latency is.
    weights:        what policies that learn one utility maximise (Vowpal Wabbit's explorers); the
                    others take the weights of each decision.
    cold_start:     name of the action to prefer while there is no evidence; None for uniform.
    caution:        judged outcomes of its own after which another action gets all that `adaptive`
                    would give it, and until then a part; 0 to believe few as well as many.
    initial_pulls:  judged outcomes each eligible action gets before its estimate is trusted.
    floor:          least probability of an eligible action (less where they are very many).
    thrifty:        whether `adaptive` leaves less than that, down to a tenth, to an action that it
                    expects to be far behind.
    draws:          posterior draws per decision from which probabilities are counted.
    scale:          factor on the posterior's standard deviation while drawing, wider at the start,
                    narrower with more than five actions.
    vw:             heads with a Vowpal Wabbit regressor, of quality, cost, latency, failure.
    replay:         how many past outcomes a Vowpal Wabbit regressor is reminded of.
    trees:          beside the linear model of quality, each grown from the last outcomes; 0: none.
    detect_changes: forget the level of an action whose quality has silently changed.
    options:        what single policies are told besides.
    """

    units: Units = field(default_factory=lambda: Units(cost_usd=0.01))
    weights: Weights = field(default_factory=Weights)
    shape: ContextShape = field(default_factory=ContextShape)
    cold_start: str | None = None
    caution: float = 0.0
    initial_pulls: int = 3
    floor: float = FLOOR
    thrifty: bool = True
    draws: int = 256
    scale: float = 0.5
    vw: frozenset[str] = frozenset({"quality"})
    replay: int = 1_000
    trees: int = 25
    detect_changes: bool = True
    options: PolicyOptions = field(default_factory=PolicyOptions)

    def __post_init__(self) -> None:
        _positive("units.cost_usd", self.units.cost_usd)
        _positive("units.latency_ms", self.units.latency_ms)
        _positive("scale", self.scale)
        _within("floor", self.floor, 1e-6, 0.5)
        _within("draws", self.draws, 1, 100_000)
        _within("replay", self.replay, 1, 100_000)
        _within("trees", self.trees, 0, 200)
        _within("caution", self.caution, 0, 100_000)
        _within("initial_pulls", self.initial_pulls, 0, 10_000)
        check_weights(self.weights)
        unknown = self.vw - {"quality", "cost", "latency", "failure"}
        if unknown:
            raise BadSettings("vw may name quality, cost, latency and failure only")


def check_weights(weights: Weights) -> None:
    """Raises BadWeights unless every weight is a finite number >= 0."""
    for value in (weights.quality, weights.cost, weights.latency, weights.failure):
        if not 0 <= value < math.inf:
            raise BadWeights("every utility weight must be a finite number >= 0")


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise BadSettings(f"{name} must be a finite number > 0")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadSettings(f"{name} must be in [{low:g}, {high:g}]")
