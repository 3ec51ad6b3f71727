"""The default policy: hierarchical Bayesian heads, Vowpal Wabbit's advice, Thompson sampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.adviser import Adviser, Start
from bandit.beliefs import Belief, Joint
from bandit.change import FAILURE_CHANGE, QUALITY_CHANGE, RATIO_CHANGE, ChangeDetector
from bandit.choice import (
    cautious,
    check_actions,
    cold_start,
    count_best,
    decide,
    draw_widths,
    floors,
    newcomers,
    with_floor,
)
from bandit.errors import BadSettings
from bandit.head import FAILURE, LOG_COST, LOG_LATENCY, QUALITY, Head, HeadSpec, RatioHead
from bandit.manifest import manifest
from bandit.outcomes import check_outcome
from bandit.random_state import check_generator
from bandit.settings import PolicySettings, check_weights
from bandit.slots import Slots
from bandit.snapshot import Snapshot, pack
from bandit.trees import Trees
from bandit.types import Action, Context, Decision, Outcome, Vector, Weights
from bandit.utility import burden, estimates_of
from bandit.view import View, Viewer

NAME: Final = "adaptive"
LATENCY_PRIOR_MS: Final = 1_000.0
_JITTER: Final = 1e-12


@dataclass(frozen=True, slots=True)
class _Expected:
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


class AdaptivePolicy:
    """Thompson sampling on quality, posterior means for cost, latency and failure.

    Not thread-safe. rng: `numpy.random.default_rng(...)`; its state is part of the snapshot.
    """

    def __init__(
        self, settings: PolicySettings, context_version: str, rng: np.random.Generator
    ) -> None:
        check_generator(rng)
        self._settings = settings
        self._rng = rng
        self._viewer = Viewer(settings.shape, context_version)
        self._slots = Slots()
        self._learned = 0
        trees = Trees(settings.shape, settings.trees) if settings.trees else None
        self._quality = self._head("quality", QUALITY, trees)
        self._cost = RatioHead(self._head("cost", LOG_COST))
        self._latency = RatioHead(self._head("latency", LOG_LATENCY))
        self._failure = self._head("failure", FAILURE)
        specs = {
            "quality": QUALITY_CHANGE,
            "cost": RATIO_CHANGE,
            "latency": RATIO_CHANGE,
            "failure": FAILURE_CHANGE,
        }
        self._changes = {name: ChangeDetector(spec) for name, spec in specs.items()}

    @property
    def name(self) -> str:
        return NAME

    @property
    def learned(self) -> int:
        return self._learned

    def decide(self, context: Context, eligible: Sequence[Action], weights: Weights) -> Decision:
        """Choose one of `eligible`; the weights act at once.

        Raises:
            NoEligibleAction, BadAction, BadWeights, BadContext, VersionMismatch.

        """
        check_actions(eligible)
        check_weights(weights)
        view = self._viewer.view(context)
        rows = self._slots.rows(eligible)
        expected = self._expect(view, rows, eligible, weights)
        utilities = self._draws(view, rows, expected, weights)
        judged = self._quality.layer.counts(rows)
        utilities[:, newcomers(judged, self._settings.initial_pulls)] = -np.inf
        settled = count_best(utilities)
        mixed = self._cold(settled, judged, rows, eligible)
        probes = self._changes["quality"].probes(rows)
        floor, thrifty = self._settings.floor, self._settings.thrifty
        least = floors(floor, expected.utility) if thrifty else floor
        probabilities = with_floor(mixed, np.maximum(probes, least))
        greedy = int(expected.utility.argmax())
        columns = (expected.quality, expected.cost_usd, expected.latency_ms, expected.failure)
        estimates = estimates_of(eligible, (*columns, expected.utility))
        return decide(eligible, probabilities, greedy, estimates, self._rng)

    def beliefs(
        self, context: Context, actions: Sequence[Action], weights: Weights
    ) -> list[Belief]:
        """Implements `bandit.beliefs.Believer`; raises as `decide` does.

        Intervals are as wide as the linear model is unsure; where they lie the trees have a say.
        """
        check_actions(actions)
        check_weights(weights)
        view, rows = self._viewer.view(context), self._slots.rows(actions)
        expected = self._expect(view, rows, actions, weights)
        cost, quality = self._cost.head, self._quality.layer
        columns = (expected.quality, expected.cost_usd, expected.latency_ms, expected.failure)
        estimates = estimates_of(actions, (*columns, expected.utility))
        joint = Joint(
            quality=expected.drawn,
            quality_covariance=quality.covariance(rows, view.x, expected.advice),
            log_cost_covariance=cost.layer.covariance(rows, view.x, cost.advice(view, rows)),
            burden=expected.burden,
            outcomes=quality.counts(rows),
        )
        return joint.beliefs(list(estimates.items()), weights.quality)

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Each head learns from what is not None. Nothing is learned when one outcome is bad.

        A correction leaves the head of quality as if the right value had been told at once, but for
        when its variances were chosen, what changes were noticed, and the adviser; the trees see it
        when they are grown again.

        Raises:
            BadOutcome, BadAction, BadContext, VersionMismatch.

        """
        for outcome in outcomes:
            check_outcome(outcome)
        views = [self._viewer.view(outcome.context) for outcome in outcomes]
        for outcome, view in zip(outcomes, views, strict=True):
            self._learn(outcome, view)

    def limit(self, most: float) -> None:
        """What was learned so far rules like `most` outcomes of each action; more gives way to it.

        The advisers' models stay as they are: they count as much as the slope on them has earned.

        Raises:
            BadSettings: most is not a finite number >= 1.

        """
        if not 1 <= most < math.inf:
            raise BadSettings("the strength of what was learned must be a finite number >= 1")
        for head in (self._quality, self._cost, self._latency, self._failure):
            head.limit(most)

    def save(self) -> bytes:
        arrays: dict[str, NDArray[Any]] = {}
        for name, part in self._parts().items():
            arrays |= {f"{name}.{key}": array for key, array in part.arrays().items()}
        names = self._slots.names
        meta = manifest(self._settings, self._viewer.version, names, self._learned, self._rng)
        return pack(Snapshot(NAME, meta, arrays))

    def restore(self, snapshot: Snapshot) -> None:
        """Raises ValueError, KeyError or TypeError when the snapshot does not fit."""
        self._slots = Slots(snapshot.meta["actions"])
        self._learned = int(snapshot.meta["learned"])
        for name, part in self._parts().items():
            part.restore(snapshot.part(name), len(self._slots))

    def is_sound(self) -> bool:
        """Whether restored heads predict finite numbers."""
        blank = self._viewer.blank()
        rows = np.arange(-1, len(self._slots))
        parts = [head.mean(blank, rows, head.advice(blank, rows)) for head in self._heads()]
        return bool(np.isfinite(np.concatenate(parts)).all())

    def is_sane(self, context: Context) -> bool:
        """Whether every head expects something near its bounds, before it is put within them."""
        view, rows = self._viewer.view(context), np.arange(-1, len(self._slots))
        return all(head.is_near(view, rows) for head in self._heads())

    def _head(self, name: str, spec: HeadSpec, trees: Trees | None = None) -> Head:
        settings = self._settings
        size = 1 + settings.shape.clusters + settings.shape.features
        if name not in settings.vw:
            return Head(spec, size, trees=trees)
        write: Callable[[Vector], str] = self._viewer.write
        start = Start(spec.layer.offset, spec.low, spec.high)
        return Head(spec, size, Adviser(start, settings.shape, settings.replay, write), trees)

    def _heads(self) -> tuple[Head, ...]:
        return self._quality, self._cost.head, self._latency.head, self._failure

    def _parts(self) -> dict[str, Any]:
        return {
            "quality": self._quality,
            "cost": self._cost,
            "latency": self._latency,
            "failure": self._failure,
            **{f"change.{name}": detector for name, detector in self._changes.items()},
        }

    def _expect(
        self, view: View, rows: NDArray[np.intp], eligible: Sequence[Action], weights: Weights
    ) -> _Expected:
        units = self._settings.units
        priors = np.array([action.prior_cost_usd for action in eligible])
        advice = self._quality.advice(view, rows)
        drawn = self._quality.expected(view, rows, advice)
        quality = self._quality.bounded(drawn)
        cost_usd = self._cost.mean(view, rows, priors)
        latency_ms = self._latency.mean(view, rows, np.full(len(rows), LATENCY_PRIOR_MS))
        failure = self._failure.mean(view, rows, self._failure.advice(view, rows))
        taken: Vector = burden(weights, units, cost_usd, latency_ms, failure)
        utility = weights.quality * quality - taken
        return _Expected(advice, drawn, quality, cost_usd, latency_ms, failure, taken, utility)

    def _draws(
        self, view: View, rows: NDArray[np.intp], expected: _Expected, weights: Weights
    ) -> NDArray[np.float64]:
        """Utilities under draws from the posterior of quality, (draws, k)."""
        layer, k = self._quality.layer, len(rows)
        covariance = layer.covariance(rows, view.x, expected.advice)
        covariance.ravel()[:: k + 1] += _JITTER
        widths = self._settings.scale * draw_widths(layer.counts(rows))
        factor = widths[:, None] * np.linalg.cholesky(covariance)
        drawn: NDArray[np.float64] = self._rng.standard_normal((self._settings.draws, k)) @ factor.T
        drawn += expected.drawn
        np.minimum(drawn, 1.0, out=drawn)
        drawn *= weights.quality
        drawn -= expected.burden
        return drawn

    def _cold(
        self,
        settled: Vector,
        judged: Vector,
        rows: NDArray[np.intp],
        eligible: Sequence[Action],
    ) -> Vector:
        settings = self._settings
        calls = np.maximum(self._cost.head.layer.counts(rows), judged)
        names = [action.name for action in eligible]
        preferred = names.index(settings.cold_start) if settings.cold_start in names else None
        if preferred is not None and settings.caution:
            settled = cautious(settled, judged, preferred, settings.caution)
        return cold_start(settled, judged, calls, settings.initial_pulls, preferred)

    def _learn(self, outcome: Outcome, view: View) -> None:
        slot = self._slots.claim(outcome.action)
        self._grow(len(self._slots))
        found: dict[str, tuple[float, float]] = {}
        given, rng = outcome.weight, self._rng
        if outcome.replaces is not None:
            self._quality.correct(view, slot, (outcome.replaces, outcome.quality), given, rng)
        elif outcome.quality is not None:
            found["quality"] = self._quality.learn(view, slot, outcome.quality, given, rng)
        if outcome.cost_usd is not None:
            ratio = outcome.cost_usd / outcome.action.prior_cost_usd
            found["cost"] = self._cost.learn(view, slot, ratio, given, rng)
        if outcome.latency_ms is not None:
            ratio = outcome.latency_ms / LATENCY_PRIOR_MS
            found["latency"] = self._latency.learn(view, slot, ratio, given, rng)
        if outcome.failed is not None:
            failed = float(outcome.failed)
            found["failure"] = self._failure.learn(view, slot, failed, given, rng)
        if self._settings.detect_changes:
            self._watch(slot, found, given)
        self._learned += 1

    def _watch(self, slot: int, found: Mapping[str, tuple[float, float]], weight: float) -> None:
        """Each head forgets its own level of an action that has changed."""
        heads = dict(zip(self._changes, self._heads(), strict=True))
        for name, (y, expected) in found.items():
            alarm = self._changes[name].alarm(slot, y, expected, weight)
            if alarm is not None:
                heads[name].shift_level(slot, alarm.shift, alarm.count)

    def _grow(self, slots: int) -> None:
        for head in self._heads():
            head.grow(slots)
        for detector in self._changes.values():
            detector.grow(slots)
