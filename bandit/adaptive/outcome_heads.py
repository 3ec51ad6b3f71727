"""What `adaptive` expects of every action: four heads over one context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.adaptive.beliefs import Joint
from bandit.adaptive.outcome_head import (
    FAILURE,
    LOG_COST,
    LOG_LATENCY,
    QUALITY,
    Head,
    HeadSpec,
    RatioHead,
)
from bandit.adaptive.trees import Trees
from bandit.adaptive.vw_advisor import Adviser, Start
from bandit.choice import draw_widths
from bandit.context.view import View
from bandit.settings import PolicySettings
from bandit.types import Action, Estimate, Outcome, Vector, Weights
from bandit.utility import burden, estimates_of

Rows = NDArray[np.intp]

LATENCY_PRIOR_MS: Final = 1_000.0
_JITTER: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Expected:
    """Posterior means for the eligible actions, each (k,).

    drawn: quality before it is bounded. burden: what is taken off the weighted quality.
    """

    advice: Vector | None
    drawn: Vector
    quality: Vector
    cost_usd: Vector
    latency_ms: Vector
    failure: Vector
    burden: Vector
    utility: Vector

    def estimates(self, eligible: Sequence[Action]) -> dict[str, Estimate]:
        columns = (self.quality, self.cost_usd, self.latency_ms, self.failure, self.utility)
        return estimates_of(eligible, columns)


class Heads:
    """write: what an adviser reads of a view's numbers."""

    def __init__(self, settings: PolicySettings, write: Callable[[Vector], str]) -> None:
        self._settings = settings
        self._write = write
        trees = Trees(settings.shape, settings.trees) if settings.trees else None
        self.quality = self._head("quality", QUALITY, trees)
        self.cost = RatioHead(self._head("cost", LOG_COST))
        self.latency = RatioHead(self._head("latency", LOG_LATENCY))
        self.failure = self._head("failure", FAILURE)

    def each(self) -> dict[str, Head]:
        return {
            "quality": self.quality,
            "cost": self.cost.head,
            "latency": self.latency.head,
            "failure": self.failure,
        }

    def parts(self) -> dict[str, Head | RatioHead]:
        """What a snapshot keeps, by name."""
        return {**self.each(), "cost": self.cost, "latency": self.latency}

    def expect(
        self, view: View, rows: Rows, eligible: Sequence[Action], weights: Weights
    ) -> Expected:
        priors = np.array([action.prior_cost_usd for action in eligible])
        advice = self.quality.advice(view, rows)
        drawn = self.quality.expected(view, rows, advice)
        quality = self.quality.bounded(drawn)
        cost_usd = self.cost.mean(view, rows, priors)
        latency_ms = self.latency.mean(view, rows, np.full(len(rows), LATENCY_PRIOR_MS))
        failure = self.failure.mean(view, rows, self.failure.advice(view, rows))
        taken: Vector = burden(weights, self._settings.units, cost_usd, latency_ms, failure)
        utility = weights.quality * quality - taken
        return Expected(advice, drawn, quality, cost_usd, latency_ms, failure, taken, utility)

    def draws(
        self,
        view: View,
        rows: Rows,
        expected: Expected,
        quality_weight: float,
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        """Utilities under draws from the posterior of quality, (draws, k)."""
        layer, k, settings = self.quality.layer, len(rows), self._settings
        covariance = layer.covariance(rows, view.x, expected.advice)
        covariance.ravel()[:: k + 1] += _JITTER
        widths = settings.scale * draw_widths(layer.counts(rows))
        factor = widths[:, None] * np.linalg.cholesky(covariance)
        drawn: NDArray[np.float64] = rng.standard_normal((settings.draws, k)) @ factor.T
        drawn += expected.drawn
        np.minimum(drawn, 1.0, out=drawn)
        drawn *= quality_weight
        drawn -= expected.burden
        return drawn

    def joint(self, view: View, rows: Rows, expected: Expected) -> Joint:
        quality, cost = self.quality.layer, self.cost.head
        return Joint(
            quality=expected.drawn,
            quality_covariance=quality.covariance(rows, view.x, expected.advice),
            log_cost_covariance=cost.layer.covariance(rows, view.x, cost.advice(view, rows)),
            burden=expected.burden,
            outcomes=quality.counts(rows),
        )

    def learn(
        self, outcome: Outcome, view: View, slot: int, rng: np.random.Generator
    ) -> dict[str, tuple[float, float]]:
        """From what is not None; what each head learned and had expected, corrections aside."""
        found: dict[str, tuple[float, float]] = {}
        given = outcome.weight
        if outcome.replaces is not None:
            self.quality.correct(view, slot, (outcome.replaces, outcome.quality), given, rng)
        elif outcome.quality is not None:
            found["quality"] = self.quality.learn(view, slot, outcome.quality, given, rng)
        if outcome.cost_usd is not None:
            ratio = outcome.cost_usd / outcome.action.prior_cost_usd
            found["cost"] = self.cost.learn(view, slot, ratio, given, rng)
        if outcome.latency_ms is not None:
            ratio = outcome.latency_ms / LATENCY_PRIOR_MS
            found["latency"] = self.latency.learn(view, slot, ratio, given, rng)
        if outcome.failed is not None:
            failed = float(outcome.failed)
            found["failure"] = self.failure.learn(view, slot, failed, given, rng)
        return found

    def _head(self, name: str, spec: HeadSpec, trees: Trees | None = None) -> Head:
        settings = self._settings
        size = 1 + settings.shape.clusters + settings.shape.features
        if name not in settings.vw:
            return Head(spec, size, trees=trees)
        start = Start(spec.layer.offset, spec.low, spec.high)
        adviser = Adviser(start, settings.shape, settings.replay, self._write)
        return Head(spec, size, adviser, trees)
