"""Settings of policies, and dataclass fields that are held to a range."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from bandit.choice import check_weights
from bandit.errors import BadSettings
from bandit.types import Units, Weights

MAX_ACTIONS = 256
FLOOR = 0.001
MAX_MEMORY = 100_000

Value = TypeVar("Value")


def bounded(default: Value, low: float, high: float) -> Value:
    """Make a dataclass field that `check_bounds` holds to [low, high]."""
    made: Value = field(default=default, metadata={"low": low, "high": high})
    return made


def check_bounds(settings: Any, section: str = "") -> None:
    """Raise BadSettings for a bounded field out of its range; section: of messages."""
    for each in fields(settings):
        if "low" in each.metadata:
            low, high = each.metadata["low"], each.metadata["high"]
            if not low <= getattr(settings, each.name) <= high:
                name = f"{section}.{each.name}" if section else each.name
                raise BadSettings(f"{name} must be in [{low:g}, {high:g}]")


CONVERSATION = 8
"""Features of the whole request; see `bandit.context.features.CONVERSATION_NAMES`."""


@dataclass(frozen=True, slots=True)
class ContextShape:
    """Dimensions of the contexts a policy learns from; those of `ContextMap.shape`.

    axis_scales: what makes a projection one on axes of unit length, of mean-square norm 1; none
    for a projection that is taken as it is.
    """

    clusters: int = 32
    axes: int = 32
    features: int = 15
    axis_scales: tuple[float, ...] = ()

    @property
    def total(self) -> int:
        return self.clusters + self.axes + self.features


@dataclass(frozen=True, slots=True)
class EvidenceUse:
    """How `adaptive` uses prompts of which every action is known, and how it does without them.

    Each part may be left out.

    effects:  take what a prompt has in common for all actions out of what is learned of each.
    sparing:  doubt, also then, that actions differ by prompt.
    axes:     weight of the projection, on axes of unit length, beside a prompt's clusters and
              features; 0 to leave it out.
    joint:    share of the expected cost that is shrunk as quality is, against one learned in full.
    narrow:   width of the draws of actions that are well known, or were compared with others on
              some prompts, in usual widths; 1 to leave it out.
    margin:   utility, in units of quality, by which such an action must beat the one that is best
              on average; 0 to choose by the draws alone.
    doubt:    the same in standard deviations of the difference, where that is more.
    trees:    listen, also then, to the trees beside the linear model.

    cold_joint: as `joint`, before there are 30 of them.
    bought:     more such prompts are bought beside the requests.
    """

    effects: bool = True
    sparing: bool = True
    axes: float = bounded(2.0, 0, 10)
    joint: float = bounded(0.5, 0, 1)
    narrow: float = bounded(0.5, 0.01, 1)
    margin: float = bounded(0.02, 0, 1)
    doubt: float = bounded(0.5, 0, 10)
    trees: bool = False
    cold_joint: float = bounded(1.0, 0, 1)
    bought: bool = False


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Settings of every policy; each reads the ones it has a use for.

    units:          one unit of cost and of latency.
    weights:        utility weights that policies with one learned utility maximise (Vowpal
                    Wabbit's explorers); the others take the weights of each decision.
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
    vw:             outcomes whose model a Vowpal Wabbit regressor advises, among quality, cost,
                    latency and failure.
    replay:         past outcomes that a Vowpal Wabbit regressor learns again from.
    trees:          trees beside the linear model of quality, grown from the last outcomes; 0: none.
    detect_changes: forget the level of an action whose quality has silently changed.
    evidence:       use of prompts of which every action is known.
    options:        options of single policies, each of the type its policy's file declares.
    """

    units: Units = field(default_factory=lambda: Units(cost_usd=0.01))
    weights: Weights = field(default_factory=Weights)
    shape: ContextShape = field(default_factory=ContextShape)
    cold_start: str | None = None
    caution: float = bounded(0.0, 0, 100_000)
    initial_pulls: int = bounded(3, 0, 10_000)
    floor: float = bounded(FLOOR, 1e-6, 0.5)
    thrifty: bool = True
    draws: int = bounded(256, 1, 100_000)
    scale: float = 0.5
    vw: frozenset[str] = frozenset({"quality"})
    replay: int = bounded(1_000, 1, MAX_MEMORY)
    trees: int = bounded(25, 0, 200)
    detect_changes: bool = True
    evidence: EvidenceUse = field(default_factory=EvidenceUse)
    options: tuple[object, ...] = ()

    def __post_init__(self) -> None:
        check_positive("units.cost_usd", self.units.cost_usd)
        check_positive("units.latency_ms", self.units.latency_ms)
        check_positive("scale", self.scale)
        check_bounds(self)
        check_bounds(self.evidence, "evidence")
        check_weights(self.weights)
        if self.vw - {"quality", "cost", "latency", "failure"}:
            raise BadSettings("vw may name quality, cost, latency and failure only")

    def options_of(self, kind: type[Value]) -> Value:
        """Return the options of this type, or their defaults where none were given."""
        return next((each for each in self.options if isinstance(each, kind)), None) or kind()


def check_positive(name: str, value: float) -> None:
    """Raise BadSettings unless the value is finite and > 0."""
    if not 0 < value < math.inf:
        raise BadSettings(f"{name} must be a finite number > 0")
