"""The four heads of `adaptive`: expected quality, cost, latency and failure of every action."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bandit.adaptive.beliefs import JointPosterior
from bandit.adaptive.outcome_head import (
    COMPARED,
    DROPPED,
    FAILURE,
    LOG_COST,
    LOG_LATENCY,
    QUALITY,
    SURE,
    HeadSpec,
    OutcomeHead,
    RatioHead,
)
from bandit.adaptive.trees import QualityTrees
from bandit.adaptive.vw_advisor import RegressorStart, VwAdvisor
from bandit.choice import burden, draw_widths, estimates_of, held_back
from bandit.context.view import ContextView
from bandit.models.judged_prompts import PromptShare
from bandit.models.regression import ENOUGH_PROMPTS
from bandit.policies.snapshot_policy import PolicyQuery
from bandit.settings import PolicySettings
from bandit.types import Action, Estimate, Outcome, Vector

LATENCY_PRIOR_MS: Final = 1_000.0
_JITTER: Final = 1e-12
JOINT_HALF: Final = 20.0
"""Outcomes of an action by which its cost has half of `EvidenceUse.joint`."""
MOST_RATIO: Final = math.exp(LOG_COST.high)
"""Largest cost, as a multiple of the guess, that counts in a mean that is shrunk as quality is."""


@dataclass(frozen=True, slots=True)
class PosteriorMeans:
    """Posterior means for the eligible actions, each (k,).

    drawn: quality before it is bounded. burden: what is taken off the weighted quality, utility the
    rest; where few prompts are known, costs count in them that differ less between prompts.
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
        use = settings.evidence
        spec = replace(QUALITY.regression, effects=use.effects, sparing=use.sparing)
        quality = replace(QUALITY, regression=spec, trees=use.trees, axes=use.axes)
        self.quality = self._head("quality", quality, trees)
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
        told, weighed = self._guessed_usd(query, advice)
        latency_ms = self.latency.mean(view, rows, LATENCY_PRIOR_MS)
        failure = self.failure.mean(view, rows, self.failure.advice(view, rows))
        cost_usd = query.inputs_usd + weighed + query.later_usd
        taken: Vector = burden(weights, self._settings.units, cost_usd, latency_ms, failure)
        utility = weights.quality * quality - taken
        told_usd = query.inputs_usd + told
        return PosteriorMeans(advice, drawn, quality, told_usd, latency_ms, failure, taken, utility)

    def draws(
        self, query: PolicyQuery, expected: PosteriorMeans, rng: Generator
    ) -> NDArray[np.float64]:
        """Draw utilities from the posterior of quality, (draws, k)."""
        rows, settings = query.rows, self._settings
        # To explore for each of many applications costs more than it finds out.
        covariance = self.quality.covariance(query.view, rows, expected.advice, settled=True)
        covariance.ravel()[:: len(rows) + 1] += _JITTER
        known = self._known(rows)
        bar = None if known is None else self._bar(query, expected, covariance, known)
        factor = self._factor(query, covariance, known)
        # As (k, draws): numpy goes through few long rows quicker than through many short ones.
        drawn: NDArray[np.float64] = factor @ rng.standard_normal((settings.draws, len(rows))).T
        drawn += expected.drawn[:, None]
        np.minimum(drawn, 1.0, out=drawn)
        drawn *= query.weights.quality
        drawn -= expected.burden[:, None]
        return drawn.T if bar is None else held_back(drawn, *bar).T

    def _factor(
        self,
        query: PolicyQuery,
        covariance: NDArray[np.float64],
        known: NDArray[np.bool_] | None,
    ) -> NDArray[np.float64]:
        """Return a root of the covariance of the draws, which it writes over that given."""
        quality, rows, settings = self.quality.regression, query.rows, self._settings
        widths = settings.scale * draw_widths(quality.counts(rows))
        compared = quality.judged(rows) >= COMPARED
        if known is not None:
            compared |= known
        widths[compared] = settings.evidence.narrow * settings.scale
        if not query.is_priced:
            return np.asarray(widths[:, None] * np.linalg.cholesky(covariance))
        covariance *= np.multiply.outer(widths, widths)
        level = max(0.0, 1 - settings.scale**2) * quality.level_variances(rows)
        level[compared] = 0.0
        covariance.ravel()[:: len(rows) + 1] += level
        return np.asarray(np.linalg.cholesky(covariance))

    def _known(self, rows: NDArray[np.intp]) -> NDArray[np.bool_] | None:
        """Mark the actions that are well known, (k,); None where there is none."""
        regression = self.quality.regression
        if regression.prompts < SURE:
            return None
        known = regression.settled(rows) >= SURE
        known |= regression.judged(rows) >= DROPPED
        return known if known.any() else None

    def _bar(
        self,
        query: PolicyQuery,
        expected: PosteriorMeans,
        covariance: NDArray[np.float64],
        known: NDArray[np.bool_],
    ) -> tuple[int, Vector] | None:
        """Return the best action on average, and how far above it each must be, (k,)."""
        use = self._settings.evidence
        if not use.margin:
            return None
        best = int(np.where(known, self._usual_utility(query, expected), -np.inf).argmax())
        own, least = covariance.diagonal(), np.full(len(known), use.margin)
        differences = own + own[best] - 2 * covariance[best]
        np.maximum(least, use.doubt * np.sqrt(np.maximum(differences, 0.0)), out=least)
        return best, query.weights.quality * least * known

    def _guessed_usd(self, query: PolicyQuery, advice: Vector | None) -> tuple[Vector, Vector]:
        """Return the expected guessed part of the costs, (k,), and that which the choice is by."""
        view, rows, guesses = query.view, query.rows, query.guesses_usd
        amounts = self.cost.mean(view, rows, guesses)
        regression, use = self.quality.regression, self._settings.evidence
        cold = regression.prompts < ENOUGH_PROMPTS
        joint = use.cold_joint if cold else use.joint
        if not joint or regression.companion is None:
            return amounts, amounts
        x = self.quality.x(view)
        counts = regression.counts(rows)
        share = joint * counts / (counts + JOINT_HALF)
        shrunk = guesses * _ratios(regression.beside(rows, x, advice))
        weighed = amounts + share * (shrunk - amounts)
        return amounts if cold else weighed, weighed

    def _usual_utility(self, query: PolicyQuery, expected: PosteriorMeans) -> Vector:
        """Return expected utilities at the mean context of the known prompts, at today's prices."""
        regression, weights = self.quality.regression, query.weights
        quality, ratios = regression.usual_of(query.rows)
        cost_usd = query.inputs_usd + query.later_usd + query.guesses_usd * _ratios(ratios)
        taken: Vector = burden(
            weights, self._settings.units, cost_usd, expected.latency_ms, expected.failure
        )
        return weights.quality * self.quality.bounded(quality) - taken

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
        self, outcome: Outcome, view: ContextView, slot: int
    ) -> dict[str, tuple[float, float]]:
        """Learn amounts that are not None; return (learned, expected before), corrections aside."""
        found: dict[str, tuple[float, float]] = {}
        given, beside = outcome.weight, None
        share = PromptShare(outcome.prompt, outcome.of) if outcome.prompt else None
        if outcome.quality is not None:
            beside = self._beside(outcome, view, slot)
        if outcome.replaces is not None:
            change = outcome.replaces, outcome.quality
            self.quality.correct(view, slot, change, given, beside=beside)
        elif outcome.quality is not None:
            found["quality"] = self.quality.learn(
                view, slot, outcome.quality, given, share=share, beside=beside
            )
        ratio = outcome.cost_ratio
        if ratio is not None:
            found["cost"] = self.cost.learn(view, slot, ratio, given)
        if outcome.latency_ms is not None:
            ratio = outcome.latency_ms / LATENCY_PRIOR_MS
            found["latency"] = self.latency.learn(view, slot, ratio, given)
        if outcome.failed is not None:
            failed = float(outcome.failed)
            found["failure"] = self.failure.learn(view, slot, failed, given)
        return found

    @property
    def _begins_cold(self) -> bool:
        """Return whether costs are learned beside quality though no prompt is known of all.

        Not where outcomes were learned without them: what those told of costs would be lost.
        """
        return self._settings.evidence.cold_joint > 0 and not self.quality.regression.total

    def rescale_costs(self, slot: int, factor: float) -> None:
        """Follow a change of an action's costs where they are shrunk as quality is."""
        self.quality.regression.rescale_companion(slot, factor)

    def _beside(self, outcome: Outcome, view: ContextView, slot: int) -> float | None:
        """Return the cost ratio that is learned beside a quality; the expected one if not known."""
        regression = self.quality.regression
        if regression.companion is None:
            begins = outcome.prompt and outcome.replaces is None
            if not begins and not self._begins_cold:
                return None
            slots = range(regression.slots)
            levels = [self.cost.usual(each, regression.usual(each)) for each in slots]
            regression.accompany(_ratios(np.array(levels)))
        ratio = outcome.cost_ratio
        if ratio is None:
            ratio = float(self.cost.mean(view, np.array([slot]), np.ones(1))[0])
        return min(ratio, MOST_RATIO)

    def _head(self, name: str, spec: HeadSpec, trees: QualityTrees | None = None) -> OutcomeHead:
        settings = self._settings
        size = 1 + settings.shape.clusters + settings.shape.features
        if name not in settings.vw:
            return OutcomeHead(spec, size, trees=trees)
        start = RegressorStart(spec.regression.offset, spec.low, spec.high)
        advisor = VwAdvisor(start, settings.shape, settings.replay, self._write)
        return OutcomeHead(spec, size, advisor, trees)


def _ratios(ratios: Vector) -> Vector:
    return np.minimum(np.maximum(ratios, 0.0), MOST_RATIO)
