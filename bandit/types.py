"""The values that cross the border of the bandit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """Facts of a prompt besides its embedding.

    other_tokens: of the request beside the last message, whose own are last_tokens. answers: of
    the model before. tool_results: of calls; tool_failed: the last one tells of a failure.
    output_limit: in tokens, None for none. application: as in `Context`.
    """

    text: str
    turns: int = 1
    tools: int = 0
    wants_json: bool = False
    other_tokens: float = 0.0
    last_tokens: float = 0.0
    answers: int = 0
    tool_results: int = 0
    tool_failed: bool = False
    images: int = 0
    has_system: bool = False
    output_limit: int | None = None
    application: int = 0


@dataclass(frozen=True, slots=True)
class Context:
    """One prompt as the policy sees it; made by `ContextMap.build`, never from raw text.

    membership: (n_clusters,), >= 0, sums to 1, at most four entries non-zero.
    projection: (n_axes,), centred and scaled to unit mean-square norm.
    features:   (n_features,), centred, each about in [-1, 1.5].
    version:    the version of the map that made it; a policy learns from one version only.
    conversation: (n_conversation,), features of the whole request, 0 for a single question; fewer
    or none where a version that knew fewer has seen it.
    application: a hash in [0, 2**31) of what asks; 0 where it is not known.
    """

    membership: Vector
    projection: Vector
    features: Vector
    version: str
    conversation: Vector = field(default_factory=lambda: np.zeros(0))
    application: int = 0


@dataclass(frozen=True, slots=True)
class Weights:
    """Utility U = quality*Q - cost*C/unit - latency*L/unit - failure*F; each weight >= 0."""

    quality: float = 1.0
    cost: float = 0.1
    latency: float = 0.0
    failure: float = 0.5


@dataclass(frozen=True, slots=True)
class Units:
    """Units of cost and latency, so that weights are plain numbers."""

    cost_usd: float
    latency_ms: float = 10_000.0


@dataclass(frozen=True, slots=True)
class Action:
    """Something to choose, opaque to the policy (the router's actions are plans).

    prior_cost_usd: list price times tokens of this request, > 0. The part above `input_usd` is a
    guess, of which the head of cost learns the ratio.
    input_usd: the part that is known before the call, in [0, prior_cost_usd).
    ahead_usd: the same part, as the mean of this turn and of those expected to follow it; utility
    is reckoned with it. None for no further turns.
    """

    name: str
    prior_cost_usd: float
    input_usd: float = 0.0
    ahead_usd: float | None = None

    @property
    def guess_usd(self) -> float:
        return self.prior_cost_usd - self.input_usd

    @property
    def later_usd(self) -> float:
        """Returns by how much the known part differs per turn, with those to follow counted in."""
        return 0.0 if self.ahead_usd is None else self.ahead_usd - self.input_usd


@dataclass(frozen=True, slots=True)
class Estimate:
    """Posterior means for one action in one context."""

    quality: float
    cost_usd: float
    latency_ms: float
    failure: float
    utility: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The chosen action and the honest account of how it was chosen.

    probabilities: one per eligible action, each > 0, sums to 1; ineligible actions are absent.
    explored: the chosen action is not the one with the largest posterior mean utility.
    """

    action: str
    propensity: float
    probabilities: Mapping[str, float]
    explored: bool
    estimates: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one action in one context; None where nothing is known yet.

    A decision may yield several outcomes (cost and failure at once, quality later).
    weight in (0, 1]: 1 for what was observed, less for what was inferred.
    replaces: the earlier quality, which this outcome corrects: it is taken back, with the same
    weight, and `quality` stands in its place; None there takes it back alone.
    made_ms: when the decision was made, since the epoch; 0 where that is not known.
    input_usd: part of the cost that was paid for the input; None where only the sum is known.
    prompt, of: a number > 0 of a prompt of which `of` actions are judged, and not the chosen one
    alone; 0 where the others are not known. Two prompts whose outcomes may mix need two numbers.
    """

    action: Action
    context: Context
    propensity: float = 1.0
    quality: float | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None
    failed: bool | None = None
    weight: float = 1.0
    replaces: float | None = None
    made_ms: float = 0.0
    input_usd: float | None = None
    prompt: int = 0
    of: int = 0

    @property
    def cost_ratio(self) -> float | None:
        """Return the cost as a multiple of what was guessed; None where it is not known.

        What was paid for the input counts on neither side: it says nothing of the guess.
        """
        if self.cost_usd is None:
            return None
        known = self.action.input_usd if self.input_usd is None else self.input_usd
        return max(0.0, self.cost_usd - known) / self.action.guess_usd


class Policy(Protocol):
    """Chooses among eligible actions and learns from outcomes. Not thread-safe.

    `save` gives a checksummed snapshot that `bandit.load_policy` restores bit for bit
    (same decisions for the same random source, same learning from the same outcomes).
    """

    @property
    def name(self) -> str: ...

    @property
    def learned(self) -> int:
        """Count the outcomes learned."""
        ...

    def decide(self, context: Context, eligible: Sequence[Action], weights: Weights) -> Decision:
        """Choose one of `eligible` (not empty, else BanditError)."""
        ...

    def learn(self, outcomes: Sequence[Outcome]) -> None: ...

    def save(self) -> bytes: ...


@runtime_checkable
class SeesChanges(Protocol):
    """A policy that notices where an action yields something else than before."""

    def changed_ms(self, action: str) -> float:
        """Return the time of the newest decision it had learned from then; 0 for never."""
        ...
