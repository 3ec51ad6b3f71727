"""One hierarchical regression that keeps itself up to date: statistics, variances, posterior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.models.empirical_bayes import (
    TRUST_GRID,
    PriorVariances,
    application_variance,
    expected_variances,
    own_variances,
)
from bandit.models.posterior import Effects, Posterior, Prior, residual_squares
from bandit.models.sufficient_statistics import ApplicationSums, SufficientStatistics
from bandit.snapshots.parts import Arrays, shaped
from bandit.types import Vector

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

EARLY_COUNT: Final = 8.0
"""Outcomes of an action up to which each is solved for at once."""

EARLY_REFRESH: Final = frozenset({12, 16, 24, 48})
REFRESH_EVERY: Final = 32
LATE: Final = 1_024
LATE_REFRESH_EVERY: Final = 128
EARLY_TUNE: Final = frozenset(round(24 * 1.3**step) for step in range(15))
TUNE_EVERY: Final = 1_000
NOISE_PRIOR_COUNT: Final = 10.0
LEAST_NOISE: Final = 0.01
"""Least noise, as a share of that assumed at the start."""
OWN_NOISE_COUNT: Final = 20.0
"""Outcomes of an action that weigh as much as what all actions say of the noise."""
NOISE_RATIO: Final = 10.0
"""An action's noise is at most so many times that of all, and at least the inverse of it."""
MOST_EFFECTS: Final = 128
"""Applications, each with one set of actions, whose effects are kept until the next solving."""
_LABELS: Final = 3
"""Slot, y and weight stand before the numbers of an observation."""


@dataclass(frozen=True, slots=True)
class RegressionSpec:
    """A kind of y. offset: y when nothing is known. noise: variance assumed at the start.

    intercept: prior variance of the shared and of each action's own intercept.
    """

    offset: float
    noise: float
    intercept: float = 0.1


class HierarchicalRegression:
    """Hierarchical Bayesian regression of one kind of outcome. size: numbers in x, 1 included.

    A longer x makes it as wide from then on; the numbers that a shorter one lacks are 0. Where an
    application is known it has an effect on each action, as large as the outcomes support.

    `observe` is cheap; the posterior is solved again at fixed counts of outcomes, the variances
    are chosen anew at fewer of them, so both depend on what was learned and on nothing else, also
    not on when it was saved: outcomes not yet solved for are saved as they are.
    """

    def __init__(self, spec: RegressionSpec, size: int) -> None:
        self._spec = spec
        self._size = size
        self._stats = SufficientStatistics(size + 1)
        self._applications = ApplicationSums(size + 1)
        self._application_variance = 0.0
        self._fresh: list[Vector] = []
        self._fresh_applications: list[int] = []
        self._counts: Vector = np.zeros(0)
        self._seen = 0
        self._variances, self._pooled = PriorVariances(), spec.noise
        self._noise: Vector = np.zeros(0)
        self._own: Vector = np.array([self._variances.own])
        self._posterior = self._solved()
        self._effects_known: dict[tuple[int, bytes], Effects] = {}

    def noise(self, slot: int) -> float:
        """Return the variance of y about its expectation."""
        return float(self._noise[slot])

    @property
    def listens(self) -> bool:
        """Return whether v has earned a slope that is worth asking for v."""
        return self._variances.trust > TRUST_GRID[0]

    @property
    def slots(self) -> int:
        return self._stats.slots

    def counts(self, rows: Rows) -> Vector:
        """Return summed weights of outcomes of each row, 0 for an action never seen; (k,)."""
        if not self.slots:
            return np.zeros(len(rows))
        return np.where(rows < 0, 0.0, self._counts[rows])

    def grow(self, slots: int) -> None:
        missing = slots - self._stats.slots
        if missing > 0:
            self._stats.grow(slots)
            self._counts = np.append(self._counts, np.zeros(missing))
            self._noise = np.append(self._noise, np.full(missing, self._pooled))
            self._own = np.append(self._own, np.full(missing, self._own[-1]))
            self.refresh()

    def mean(self, rows: Rows, x: Vector, v: Vector | None, application: int = 0) -> Vector:
        """Return expected y; rows: (k,) slots, -1 for one never seen; v: (k,), None for zeros."""
        effects = self._effects(rows, application)
        return self._spec.offset + self._posterior.mean(rows, self._fitted(x), v, effects)

    def covariance(
        self,
        rows: Rows,
        x: Vector,
        v: Vector | None,
        application: int = 0,
        *,
        settled: bool = False,
    ) -> Array:
        """Return the joint covariance, (k, k). settled: as if applications' effects were known."""
        effects = self._effects(rows, application)
        return self._posterior.covariance(rows, self._fitted(x), v, effects, settled=settled)

    def level_variances(self, rows: Rows) -> Vector:
        """Return how unsure each action's level is where nothing else differs, (k,)."""
        noise = np.concatenate([self._noise, [self._pooled]])[rows]
        result: Vector = noise / (self.counts(rows) + noise / self._spec.intercept)
        return result

    def observe(
        self, slot: int, x: Vector, v: float, y: float, weight: float, *, application: int = 0
    ) -> None:
        if len(x) >= self._stats.width:
            self._widen(len(x) + 1)
        labels = np.array([slot, y - self._spec.offset, weight])
        self._fresh.append(np.concatenate([labels, self._fitted(x), [v]]))
        self._fresh_applications.append(application)
        self._counts[slot] += weight
        self._seen += 1
        if self._seen in EARLY_TUNE or self._seen % TUNE_EVERY == 0:
            self._tune()
        elif self._is_due(slot):
            self.refresh()

    def correct(
        self,
        slot: int,
        phi: Vector,
        old: float,
        new: float,
        weight: float,
        *,
        application: int = 0,
    ) -> None:
        """Put `new` in the place of an outcome's `old`; it is solved for at once.

        phi: [x, v], with today's v, for the one of that day is not kept: the slope on it is
        corrected as far as the two are alike.
        """
        offset = self._spec.offset
        self._fold()
        phi = np.append(self._fitted(phi[:-1]), phi[-1])
        self._stats.correct(slot, phi, old - offset, new - offset, weight)
        self._applications.correct(slot, application, weight * (new - old))
        self.refresh()

    def limit(self, most: float) -> None:
        """Let no action's outcomes weigh more than `most` together; expectations nearly stay."""
        self._fold()
        for slot in np.flatnonzero(self._stats.count > most).tolist():
            factor = most / float(self._stats.count[slot])
            self._stats.scale(slot, factor)
            self._applications.scale(slot, factor)
        self._counts = self._stats.count.copy()
        # Later outcomes are solved for as often as if so many had been learned.
        self._seen = min(self._seen, int(self._counts.sum()))
        self.refresh()

    def shift_intercept(self, slot: int, shift: float, count: float) -> None:
        """Forget the action's own level; what is known of the new one is worth `count` outcomes.

        Levels are those of its usual requests: features of whole requests are not centred.
        """
        self._fold()
        columns = np.array([0, *range(self._size, self._stats.width - 1)])
        usual = self._stats.gram[slot, 0, columns] / max(float(self._stats.gram[slot, 0, 0]), 1e-9)
        usual[0] = 1.0
        level = float(self._posterior.weights[slot, columns] @ usual) + shift
        if (total := float(self._stats.gram[slot, 0, 0])) > 0:
            means = self._stats.gram[slot, 0] / total, float(self._stats.moment[slot, 0]) / total
            self._applications.forget_intercept(slot, *means)
        self._stats.forget_intercept(slot)
        self._stats.add_level(slot, level, count, columns, usual)
        self.refresh()

    def refresh(self) -> None:
        """Solve the posterior from everything observed so far."""
        self._fold()
        self._posterior = self._solved()
        self._effects_known.clear()

    def arrays(self) -> Arrays:
        chosen = self._variances
        scalars = [self._seen, chosen.trust, chosen.shared, chosen.own, self._pooled]
        fresh = np.array(self._fresh).reshape(-1, self._stats.width + _LABELS)
        kept = {"scalars": np.array(scalars), "noise": self._noise, "own": self._own}
        return kept | {"fresh": fresh} | self._stats.arrays() | self._application_arrays()

    def _application_arrays(self) -> Arrays:
        """Return nothing where no application was ever known."""
        if not self._applications and not any(self._fresh_applications):
            return {}
        return {
            "application_variance": np.array([self._application_variance]),
            "fresh_applications": np.array(self._fresh_applications, dtype=np.int32),
            **self._applications.arrays(),
        }

    def restore(self, arrays: Arrays, slots: int) -> None:
        """Restore what `arrays` gave. Raises ValueError or KeyError for other arrays."""
        self._stats.restore(arrays, slots)
        self._applications.restore(arrays, slots, self._stats.width)
        known = arrays.get("application_variance", np.zeros(1))
        self._application_variance = float(shaped(known, (1,))[0])
        seen, *chosen, self._pooled = shaped(arrays["scalars"], (5,)).tolist()
        self._seen, self._variances = int(seen), PriorVariances(*chosen)
        self._noise = shaped(arrays["noise"], (slots,)).copy()
        self._own = shaped(arrays["own"], (slots + 1,)).copy()
        if min(*chosen, self._pooled, *self._noise, *self._own) <= 0:
            raise ValueError("a variance is not positive")
        if self._application_variance < 0:
            raise ValueError("the variance of the applications is negative")
        self._fresh, self._counts = [], self._stats.count.copy()
        self.refresh()
        fresh = shaped(arrays["fresh"], (len(arrays["fresh"]), self._stats.width + _LABELS))
        if len(fresh) and not 0 <= fresh[:, 0].min() <= fresh[:, 0].max() < slots:
            raise ValueError("an observation of no action")
        for row in fresh:
            self._fresh.append(row.copy())
            self._counts[int(row[0])] += row[2]
        asked = arrays.get("fresh_applications", np.zeros(len(fresh), dtype=np.int32))
        self._fresh_applications = shaped(asked, (len(fresh),)).tolist()

    def _widen(self, width: int) -> None:
        self._fold()
        self._stats.widen(width)
        self._applications.widen(width)
        self.refresh()

    def _fitted(self, x: Vector) -> Vector:
        """Return x as long as the model is wide: what it never saw is left out."""
        size = self._stats.width - 1
        if len(x) >= size:
            return x[:size]
        fitted = np.zeros(size)
        fitted[: len(x)] = x
        return fitted

    def _effects(self, rows: Rows, application: int) -> Effects | None:
        """Return what is known of the application; None where it is not listened to."""
        if not application or not self._application_variance:
            return None
        asked = application, rows.tobytes()
        known = self._effects_known.get(asked)
        if known is None:
            if len(self._effects_known) >= MOST_EFFECTS:
                self._effects_known.clear()
            known = self._effects_known[asked] = self._solved_effects(rows, application)
        return known

    def _solved_effects(self, rows: Rows, application: int) -> Effects:
        sums = self._applications.of(rows, application)
        noise = np.append(self._noise, self._pooled)[rows]
        divisor = sums[:, -1] + noise / self._application_variance
        shares = sums[:, :-1] / divisor[:, None]
        return self._posterior.effects(rows, shares[:, :-1], shares[:, -1], noise / divisor)

    def _fold(self) -> None:
        """Take what was observed since into the statistics, in its order."""
        for row, application in zip(self._fresh, self._fresh_applications, strict=True):
            told = row[_LABELS:], float(row[1]), float(row[2])
            self._stats.add(int(row[0]), *told)
            self._applications.add(int(row[0]), application, *told)
        self._fresh, self._fresh_applications = [], []

    def _is_due(self, slot: int) -> bool:
        early = self._seen in EARLY_REFRESH or self._counts[slot] <= EARLY_COUNT
        every = REFRESH_EVERY if self._seen < LATE else LATE_REFRESH_EVERY
        return bool(early or self._seen % every == 0)

    def _tune(self) -> None:
        self._fold()
        level = self._spec.intercept
        if self._applications:
            self._application_variance = application_variance(
                self._stats, self._applications, level, self._noise, self._spec.noise
            )
        stats = self._plain()
        self._variances = expected_variances(stats, level, self._noise)
        self._own = own_variances(stats, level, self._noise, self._variances)
        self.refresh()
        self._measure_noise()
        self.refresh()

    def _measure_noise(self) -> None:
        """Measure residuals of all actions together, and of each, shrunk towards that."""
        start, count = self._spec.noise, self._stats.count
        squares = residual_squares(self._plain(), self._posterior)
        freedom = max(0.0, float(count.sum()) - self._posterior.freedom())
        pooled = (squares.sum() + NOISE_PRIOR_COUNT * start) / (NOISE_PRIOR_COUNT + freedom)
        self._pooled = max(LEAST_NOISE * start, float(pooled))
        counted = np.maximum(0.0, count - self._posterior.own_freedom())
        own = (squares + OWN_NOISE_COUNT * self._pooled) / (counted + OWN_NOISE_COUNT)
        self._noise = np.clip(own, self._pooled / NOISE_RATIO, self._pooled * NOISE_RATIO)

    def _plain(self) -> SufficientStatistics:
        """Return the statistics without the effects of applications."""
        if not self._application_variance:
            return self._stats
        return self._applications.taken_off(self._stats, self._noise / self._application_variance)

    def _solved(self) -> Posterior:
        width, chosen = self._stats.width, self._variances
        shared = np.full(width, chosen.shared)
        own = np.tile(self._own[:, None], width - 1)
        shared[0] = own[:, 0] = self._spec.intercept
        shared[-1] = chosen.trust
        return Posterior(self._plain(), Prior(shared, own, self._noise))
