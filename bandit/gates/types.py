"""The values that cross the border of a gate: settings, an answer, a step, a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from bandit.settings import MAX_MEMORY, ContextShape, bounded, check_bounds, check_positive
from bandit.types import Context, Units, Vector, Weights


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Settings of every gate; each reads the ones it has a use for.

    units:           one unit of cost.
    shape:           of the contexts, `ContextMap.shape`.
    signals:         numbers in `GateInput.signals`.
    signals_version: of the signals; "" to hold to the first version seen.
    agree_above:     agreement from which two answers count as the same.
    plain_lessons:   examples by the plain rule before what was learned is trusted.
    scale:           factor on the posterior's standard deviation while drawing, less later.
    floor:           least probability of an eligible step of the learned gate.
    draws:           posterior draws per choice from which probabilities are counted.
    memory:          examples kept as they came; older ones live on in a summary.
    """

    units: Units = field(default_factory=lambda: Units(cost_usd=0.01))
    shape: ContextShape = field(default_factory=ContextShape)
    signals: int = bounded(23, 1, 1_000)
    signals_version: str = ""
    agree_above: float = bounded(0.8, 0, 1)
    plain_lessons: int = bounded(30, 0, 100_000)
    scale: float = bounded(0.3, 0, 10)
    floor: float = bounded(0.001, 1e-6, 0.25)
    draws: int = bounded(128, 1, 100_000)
    memory: int = bounded(1_000, 1, MAX_MEMORY)

    def __post_init__(self) -> None:
        check_positive("units.cost_usd", self.units.cost_usd)
        check_bounds(self)


class Step(StrEnum):
    """The step to take with an answer in hand."""

    ACCEPT = "accept"
    """Serve the first answer."""
    SECOND = "second"
    """Serve the second opinion; only after it was asked, and where it says something else."""
    ASK = "ask"
    """Ask the second cheap arm; only before it was asked."""
    ESCALATE = "escalate"
    """Call the strong arm."""


@dataclass(frozen=True, slots=True)
class GateInput:
    """One answer as a gate sees it.

    signals:   (n_signals,) numbers of the first answer, each about in [-1, 1.5].
    version:   of the signals; a gate learns from one version only.
    agreement: of the two answers, in [0, 1]: 0.0 or 1.0 for closed answers, a cosine similarity
               for open text. None before a second opinion, and where nothing could be compared.
    second:    (n_signals,) of the second answer; None before a second opinion.
    """

    context: Context
    signals: Vector
    version: str
    agreement: float | None = None
    second: Vector | None = None

    @property
    def asked(self) -> bool:
        """Return whether a second opinion is in hand."""
        return self.agreement is not None or self.second is not None


@dataclass(frozen=True, slots=True)
class Prices:
    """Today's price priors for this request.

    second_usd: None where no second arm may be asked (any more). strong_usd: None where nobody
    is above: the gate then never escalates. strong_input_usd: the part of it that is known before
    the call; the rest is a guess, of which the ratio to the real cost is learned.
    """

    second_usd: float | None
    strong_usd: float | None
    strong_input_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """The step and the honest account of how it was chosen.

    probabilities: one per eligible step, sums to 1; ineligible steps are absent. Each is > 0 for
                   a gate that explores, and 0 or 1 for one that follows a rule.
    score:         P(what would be accepted is good), in [0, 1].
    values:        expected utility of each eligible step: quality weight times P(good), less the
                   cost weight times what is still to be paid.
    """

    step: Step
    propensity: float
    probabilities: Mapping[Step, float]
    score: float
    values: Mapping[Step, float]


@dataclass(frozen=True, slots=True)
class GateExample:
    """Labels of one answer in front of the gate; None where nothing is known.

    seen: with agreement and second when a second opinion was asked. *_ok: in [0, 1].
    strong_cost_ratio: real cost over the guessed part of the price, >= 0. weight in (0, 1]: 1 for
    what was told, less for what was inferred. repeated: an earlier example of the same answer has
    taught whether the opinions agree.
    """

    seen: GateInput
    first_ok: float | None = None
    second_ok: float | None = None
    strong_ok: float | None = None
    strong_cost_ratio: float | None = None
    weight: float = 1.0
    repeated: bool = False


class Gate(Protocol):
    """Chooses the step after an answer and learns from what came of it. Not thread-safe.

    `save` gives a checksummed snapshot that `load_gate` restores bit for bit (same choices for
    the same random source, same learning from the same examples).
    """

    @property
    def name(self) -> str: ...

    @property
    def learned(self) -> int:
        """Count the examples learned."""
        ...

    def choose(self, seen: GateInput, prices: Prices, weights: Weights) -> Chosen:
        """Choose a step. Raises BadContext, BadAction, BadWeights or VersionMismatch."""
        ...

    def learn(self, examples: Sequence[GateExample]) -> None:
        """Learn; nothing is learned when one example is bad.

        Raises:
            BadContext, BadOutcome, VersionMismatch.

        """
        ...

    def save(self) -> bytes: ...
