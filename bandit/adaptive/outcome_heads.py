"""The four heads of `adaptive`: expected quality, cost, latency and failure of every action."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bandit.adaptive.beliefs import JointPosterior
from bandit.adaptive.outcome_head import (
    FAILURE,
    LOG_COST,
    LOG_LATENCY,
    QUALITY,
    HeadSpec,
    OutcomeHead,
    RatioHead,
)
from bandit.adaptive.trees import QualityTrees
from bandit.adaptive.vw_advisor import RegressorStart, VwAdvisor
from bandit.choice import burden, draw_widths, estimates_of
from bandit.context.view import ContextView
from bandit.policies.snapshot_policy import PolicyQuery
from bandit.settings import PolicySettings
from bandit.types import Action, Estimate, Outcome, Vector

LATENCY_PRIOR_MS: Final = 1_000.0
_JITTER: Final = 1e-12


@dataclass(frozen=True, slots=True)
class PosteriorMeans:
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


class OutcomeHeads:
    """One head per kind of outcome. write: the text of a view's numbers that advisors read."""

    def __init__(self, settings: PolicySettings, write: Callable[[Vector], str]) -> None:
        self._settings = settings
        self._write = write
        trees = QualityTrees(settings.shape, settings.trees) if settings.trees else None
        self.quality = self._head("quality", QUALITY, trees)
        self.cost = RatioHead(self._head("cost", LOG_COST))
        self.latency = RatioHead(self._head("latency", LOG_LATENCY))
        self.failure = self._head("failure", FAILURE)

    def each(self) -> dict[str, OutcomeHead]:
        return {
            "quality": self.quality,
            "cost": self.cost.head,
            "latency": self.latency.head,
            "failure": self.failure,
        }

    def parts(self) -> dict[str, OutcomeHead | RatioHead]:
        """Return what a snapshot keeps, by name."""
        return {**self.each(), "cost": self.cost, "latency": self.latency}

    def expect(self, query: PolicyQuery) -> PosteriorMeans:
        view, rows, weights = query.view, query.rows, query.weights
        advice = self.quality.advice(view, rows)
        drawn = self.quality.expected(view, rows, advice)
        quality = self.quality.bounded(drawn)
        cost_usd = query.inputs_usd + self.cost.mean(view, rows, query.guesses_usd)
        latency_ms = self.latency.mean(view, rows, LATENCY_PRIOR_MS)
        failure = self.failure.mean(view, rows, self.failure.advice(view, rows))
        taken: Vector = burden(
            weights, self._settings.units, cost_usd + query.later_usd, latency_ms, failure
        )
        utility = weights.quality * quality - taken
        return PosteriorMeans(advice, drawn, quality, cost_usd, latency_ms, failure, taken, utility)

    def draws(
        self, query: PolicyQuery, expected: PosteriorMeans, rng: Generator
    ) -> NDArray[np.float64]:
        """Draw utilities from the posterior of quality, (draws, k)."""
        quality, rows, settings = self.quality.regression, query.rows, self._settings
        # To explore for each of many applications costs more than it finds out.
        covariance = self.quality.covariance(query.view, rows, expected.advice, settled=True)
        covariance.ravel()[:: len(rows) + 1] += _JITTER
        widths = settings.scale * draw_widths(quality.counts(rows))
        if query.is_priced:
            covariance *= np.multiply.outer(widths, widths)
            level = max(0.0, 1 - settings.scale**2) * quality.level_variances(rows)
            covariance.ravel()[:: len(rows) + 1] += level
            factor = np.linalg.cholesky(covariance)
        else:
            factor = widths[:, None] * np.linalg.cholesky(covariance)
        drawn: NDArray[np.float64] = rng.standard_normal((settings.draws, len(rows))) @ factor.T
        drawn += expected.drawn
        np.minimum(drawn, 1.0, out=drawn)
        drawn *= query.weights.quality
        drawn -= expected.burden
        return drawn

    def joint(self, query: PolicyQuery, expected: PosteriorMeans) -> JointPosterior:
        view, rows = query.view, query.rows
        quality, cost = self.quality, self.cost.head
        return JointPosterior(
            quality=expected.drawn,
            quality_covariance=quality.covariance(view, rows, expected.advice),
            log_cost_covariance=cost.covariance(view, rows, cost.advice(view, rows)),
            burden=expected.burden,
            known_usd=query.inputs_usd,
            outcomes=quality.regression.counts(rows),
        )

    def learn(
        self, outcome: Outcome, view: ContextView, slot: int, rng: Generator
    ) -> dict[str, tuple[float, float]]:
        """Learn amounts that are not None; return (learned, expected before), corrections aside."""
        found: dict[str, tuple[float, float]] = {}
        given = outcome.weight
        if outcome.replaces is not None:
            self.quality.correct(view, slot, (outcome.replaces, outcome.quality), given, rng)
        elif outcome.quality is not None:
            found["quality"] = self.quality.learn(view, slot, outcome.quality, given, rng)
        ratio = outcome.cost_ratio
        if ratio is not None:
            found["cost"] = self.cost.learn(view, slot, ratio, given, rng)
        if outcome.latency_ms is not None:
            ratio = outcome.latency_ms / LATENCY_PRIOR_MS
            found["latency"] = self.latency.learn(view, slot, ratio, given, rng)
        if outcome.failed is not None:
            failed = float(outcome.failed)
            found["failure"] = self.failure.learn(view, slot, failed, given, rng)
        return found

    def _head(self, name: str, spec: HeadSpec, trees: QualityTrees | None = None) -> OutcomeHead:
        settings = self._settings
        size = 1 + settings.shape.clusters + settings.shape.features
        if name not in settings.vw:
            return OutcomeHead(spec, size, trees=trees)
        start = RegressorStart(spec.regression.offset, spec.low, spec.high)
        advisor = VwAdvisor(start, settings.shape, settings.replay, self._write)
        return OutcomeHead(spec, size, advisor, trees)
