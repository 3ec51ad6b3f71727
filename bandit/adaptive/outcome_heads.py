"""The four heads of `adaptive`: expected quality, cost, latency and failure of every action."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import add, mul
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
    HeadsTogether,
    OutcomeHead,
    RatioHead,
)
from bandit.adaptive.trees import QualityTrees
from bandit.adaptive.vw_advisor import RegressorStart, VwAdvisor
from bandit.choice import burden, draw_widths, estimates_of, held_back
from bandit.context.view import ContextView
from bandit.models.judged_prompts import PromptShare
from bandit.models.posterior import cholesky
from bandit.models.regression import ENOUGH_PROMPTS
from bandit.policies.snapshot_policy import PolicyQuery
from bandit.settings import PolicySettings
from bandit.types import Action, Estimate, Outcome, Vector

LATENCY_PRIOR_MS: Final = 1_000.0
_JITTER: Final = 1e-12
MOST_STANDINGS: Final = 128
"""Sets of actions of which `_Standing` is kept."""
JOINT_HALF: Final = 20.0
"""Outcomes of an action by which its cost has half of `EvidenceUse.joint`."""
MOST_RATIO: Final = math.exp(LOG_COST.high)
"""Largest cost, as a multiple of the guess, that counts in a mean that is shrunk as quality is."""


@dataclass(frozen=True, slots=True)
class PosteriorMeans:
    """Posterior means for the eligible actions, each (k,): plain numbers, for there are few.

    drawn: quality before it is bounded. burden: what is taken off the weighted quality, utility the
    rest; where few prompts are known, costs count in them that differ less between prompts.
    """

    advice: Vector | None
    drawn: list[float]
    quality: list[float]
    cost_usd: list[float]
    latency_ms: list[float]
    failure: list[float]
    burden: list[float]
    utility: list[float]

    def estimates(self, eligible: Sequence[Action]) -> dict[str, Estimate]:
        columns = (self.quality, self.cost_usd, self.latency_ms, self.failure, self.utility)
        return estimates_of(eligible, columns)


@dataclass(frozen=True, slots=True)
class _Standing:
    """Standing of actions, whatever the prompt, each (k,).

    compared: well enough for narrow draws. known: so well that it must beat the best of them, []
    where none is; only then, at the mean context of the known prompts, quality and cost ratios.
    """

    compared: list[bool]
    known: list[bool]
    quality: Sequence[float] = ()
    ratios: Sequence[float] = ()


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
        self._standings: dict[bytes, _Standing] = {}
        self._stood_at = -1
        self._means = HeadsTogether((self.cost.head, self.latency.head, self.failure), logs=2)

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
        view, rows, weight = query.view, query.rows, query.weights.quality
        advice = self.quality.advice(view, rows)
        expected = self.quality.expected(view, rows, advice)
        drawn, quality = expected.tolist(), self.quality.bounded(expected).tolist()
        ratios, slowness, failure = self._means.of(view, rows)
        told, weighed = self._guessed_usd(query, advice, self.cost.amounts(ratios))
        latency_ms = [LATENCY_PRIOR_MS * ratio for ratio in self.latency.amounts(slowness)]
        taken = self._burden(query, weighed, latency_ms, failure)
        utility = [weight * good - bad for good, bad in zip(quality, taken, strict=True)]
        told_usd = list(map(add, query.inputs, told))
        return PosteriorMeans(advice, drawn, quality, told_usd, latency_ms, failure, taken, utility)

    def _burden(
        self, query: PolicyQuery, guessed: list[float], latency_ms: list[float], failed: list[float]
    ) -> list[float]:
        """Return what is taken off the weighted quality, (k,), at these guessed parts of costs."""
        weights, units = query.weights, self._settings.units
        costs = [sum(parts) for parts in zip(query.inputs, guessed, query.later, strict=True)]
        amounts = zip(costs, latency_ms, failed, strict=True)
        return [burden(weights, units, *each) for each in amounts]

    def draws(
        self, query: PolicyQuery, expected: PosteriorMeans, rng: Generator
    ) -> NDArray[np.float64]:
        """Draw utilities from the posterior of quality, (draws, k)."""
        rows, weight = query.rows, query.weights.quality
        # To explore for each of many applications costs more than it finds out.
        found = self.quality.covariance(query.view, rows, expected.advice, settled=True)
        covariance = found.tolist()
        for place, row in enumerate(covariance):
            row[place] += _JITTER
        standing = self._standing(rows)
        bar = self._bar(query, expected, covariance, standing) if standing.known else None
        factor = self._factor(query, covariance, standing.compared)
        burdens = np.array(expected.burden)[:, None]
        # As (k, draws): numpy goes through few long rows quicker than through many short ones.
        normal = rng.standard_normal((self._settings.draws, len(rows))).T
        drawn: NDArray[np.float64] = (weight * factor) @ normal
        drawn += weight * np.array(expected.drawn)[:, None] - burdens
        np.minimum(drawn, weight - burdens, out=drawn)
        return drawn.T if bar is None else held_back(drawn, *bar).T

    def _factor(
        self, query: PolicyQuery, covariance: list[list[float]], compared: list[bool]
    ) -> NDArray[np.float64]:
        """Return a root of the covariance of the draws."""
        quality, rows, settings = self.quality.regression, query.rows, self._settings
        narrow, usual = settings.evidence.narrow, draw_widths(quality.counts(rows).tolist())
        pairs = zip(compared, usual, strict=True)
        widths = [settings.scale * (min(width, narrow) if told else width) for told, width in pairs]
        if not query.is_priced:
            return np.array(widths)[:, None] * cholesky(covariance)
        level = max(0.0, 1 - settings.scale**2) * quality.level_variances(rows)
        level[compared] = 0.0
        wide = np.array(covariance) * np.multiply.outer(widths, widths)
        return cholesky((wide + np.diag(level)).tolist())

    def _standing(self, rows: NDArray[np.intp]) -> _Standing:
        """Return what is known of the actions whatever the prompt, worked out once per learning."""
        regression = self.quality.regression
        if regression.changes != self._stood_at or len(self._standings) >= MOST_STANDINGS:
            self._stood_at = regression.changes
            self._standings.clear()
        asked = rows.tobytes()
        if asked not in self._standings:
            self._standings[asked] = self._stands(rows)
        return self._standings[asked]

    def _stands(self, rows: NDArray[np.intp]) -> _Standing:
        regression = self.quality.regression
        judged, known = regression.judged(rows), np.zeros(len(rows), dtype=np.bool_)
        if regression.prompts >= SURE:
            known = (regression.settled(rows) >= SURE) | (judged >= DROPPED)
        use = self._settings.evidence
        fewest = COMPARED if use.bought else ENOUGH_PROMPTS
        compared = (((judged >= fewest) | known) & (use.narrow < 1)).tolist()
        if not known.any():
            return _Standing(compared, [])
        quality, ratios = regression.usual_of(rows)
        bounded = self.quality.bounded(quality).tolist()
        return _Standing(compared, known.tolist(), bounded, list(map(_ratio, ratios.tolist())))

    def _bar(
        self,
        query: PolicyQuery,
        expected: PosteriorMeans,
        covariance: list[list[float]],
        standing: _Standing,
    ) -> tuple[int, Vector] | None:
        """Return the best action on average, and how far above it each must be, (k,)."""
        use, known = self._settings.evidence, standing.known
        if not use.margin:
            return None
        usual = self._usual_utility(query, expected, standing)
        best = max((i for i, is_known in enumerate(known) if is_known), key=usual.__getitem__)
        beside, least = covariance[best], [0.0] * len(known)
        for i, is_known in enumerate(known):
            if is_known:
                difference = covariance[i][i] + beside[best] - 2 * beside[i]
                bar = max(use.margin, use.doubt * math.sqrt(max(difference, 0.0)))
                least[i] = query.weights.quality * bar
        return best, np.array(least)

    def _guessed_usd(
        self, query: PolicyQuery, advice: Vector | None, ratios: list[float]
    ) -> tuple[list[float], list[float]]:
        """Return the expected guessed part of the costs, (k,), and that which the choice is by.

        ratios: (k,) of the head of cost.
        """
        view, rows, guesses = query.view, query.rows, query.guesses
        amounts = list(map(mul, guesses, ratios))
        regression, use = self.quality.regression, self._settings.evidence
        cold = regression.prompts < ENOUGH_PROMPTS
        joint = use.cold_joint if cold else use.joint
        if not joint or regression.companion is None:
            return amounts, amounts
        beside = regression.beside(rows, self.quality.x(view), advice).tolist()
        weighed = []
        for count, guess, ratio, amount in zip(
            regression.counts(rows).tolist(), guesses, beside, amounts, strict=True
        ):
            share, shrunk = joint * count / (count + JOINT_HALF), guess * _ratio(ratio)
            weighed.append(amount + share * (shrunk - amount))
        return amounts if cold else weighed, weighed

    def _usual_utility(
        self, query: PolicyQuery, expected: PosteriorMeans, standing: _Standing
    ) -> list[float]:
        """Return expected utilities at the mean context of the known prompts, at today's prices."""
        weight, guessed = query.weights.quality, list(map(mul, query.guesses, standing.ratios))
        taken = self._burden(query, guessed, expected.latency_ms, expected.failure)
        return [weight * good - bad for good, bad in zip(standing.quality, taken, strict=True)]

    def joint(self, query: PolicyQuery, expected: PosteriorMeans) -> JointPosterior:
        view, rows = query.view, query.rows
        quality, cost = self.quality, self.cost.head
        return JointPosterior(
            quality=np.array(expected.drawn),
            quality_covariance=quality.covariance(view, rows, expected.advice),
            log_cost_covariance=cost.covariance(view, rows, cost.advice(view, rows)),
            burden=np.array(expected.burden),
            known_usd=np.array(query.inputs),
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
            regression.accompany(np.array(list(map(_ratio, levels))))
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


def _ratio(ratio: float) -> float:
    return min(max(ratio, 0.0), MOST_RATIO)
