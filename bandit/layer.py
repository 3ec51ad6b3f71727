"""One hierarchical regression that keeps itself up to date: statistics, variances, posterior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.evidence import OWN_GRID, SHARED_GRID, best_variances
from bandit.posterior import Posterior, Prior, residual_square
from bandit.statistics import Statistics, shaped
from bandit.types import Vector

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

EARLY_COUNT: Final = 8.0
"""Outcomes of an action up to which each is taken in at once."""

EARLY_REFRESH: Final = frozenset({12, 16, 24, 48})
REFRESH_EVERY: Final = 32
LATE: Final = 1_024
LATE_REFRESH_EVERY: Final = 128
EARLY_TUNE: Final = frozenset({48, 96, 150, 300, 600})
TUNE_EVERY: Final = 1_000
NOISE_PRIOR_COUNT: Final = 10.0
LEAST_NOISE: Final = 0.01
"""As a share of the noise assumed at the start."""

START_SHARED: Final = SHARED_GRID[1]
START_OWN: Final = OWN_GRID[1]


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """offset: y when nothing is known. noise: variance assumed at the start.

    intercept: prior variance of the shared and of each action's own intercept.
    slope:     prior variance of kappa, the trust in the other regressor.
    """

    offset: float
    noise: float
    intercept: float = 0.1
    slope: float = 1.0


class Layer:
    """Hierarchical Bayesian regression of one kind of outcome. size: numbers in x, 1 included.

    `observe` is cheap; the posterior is solved again at fixed counts of outcomes, the variances
    are chosen anew at fewer of them, so both depend on what was learned and on nothing else.
    """

    def __init__(self, spec: LayerSpec, size: int) -> None:
        self._spec = spec
        self._stats = Statistics(size + 1)
        self._seen = 0
        self._shared, self._own, self._noise = START_SHARED, START_OWN, spec.noise
        self._posterior = self._solved()

    @property
    def noise(self) -> float:
        return self._noise

    @property
    def slots(self) -> int:
        return self._stats.slots

    def counts(self, rows: Rows) -> Vector:
        """Summed weights of the outcomes behind each row, 0 for an action never seen; (k,)."""
        if not self.slots:
            return np.zeros(len(rows))
        return np.where(rows < 0, 0.0, self._stats.count[rows])

    def grow(self, slots: int) -> None:
        if slots > self._stats.slots:
            self._stats.grow(slots)
            self.refresh()

    def mean(self, rows: Rows, x: Vector, v: Vector | None) -> Vector:
        """Expected y; rows: (k,) slots, -1 for an action never seen; v: (k,), None for zeros."""
        return self._spec.offset + self._posterior.mean(rows, x, v)

    def covariance(self, rows: Rows, x: Vector, v: Vector | None) -> Array:
        return self._posterior.covariance(rows, x, v)

    def observe(self, slot: int, x: Vector, v: float, y: float, weight: float) -> None:
        self._stats.add(slot, np.append(x, v), y - self._spec.offset, weight)
        self._seen += 1
        if self._seen in EARLY_TUNE or self._seen % TUNE_EVERY == 0:
            self._tune()
        elif self._is_due(slot):
            self.refresh()

    def forget_intercept(self, slot: int) -> None:
        self._stats.forget_intercept(slot)
        self.refresh()

    def refresh(self) -> None:
        """Solve the posterior from everything observed so far."""
        self._posterior = self._solved()

    def arrays(self) -> dict[str, Array]:
        scalars = np.array([self._seen, self._shared, self._own, self._noise])
        return {"scalars": scalars, **self._stats.arrays()}

    def restore(self, arrays: dict[str, Array], slots: int) -> None:
        """Raises ValueError or KeyError when the arrays are not what `arrays` gave."""
        self._stats.restore(arrays, slots)
        seen, self._shared, self._own, self._noise = shaped(arrays["scalars"], (4,)).tolist()
        self._seen = int(seen)
        if min(self._shared, self._own, self._noise) <= 0:
            raise ValueError("a variance is not positive")
        self.refresh()

    def _is_due(self, slot: int) -> bool:
        early = self._seen in EARLY_REFRESH or self._stats.count[slot] <= EARLY_COUNT
        every = REFRESH_EVERY if self._seen < LATE else LATE_REFRESH_EVERY
        return bool(early or self._seen % every == 0)

    def _tune(self) -> None:
        spec, stats = self._spec, self._stats
        self._shared, self._own = best_variances(stats, spec.intercept, spec.slope, self._noise)
        self.refresh()
        error = residual_square(stats, self._posterior) + NOISE_PRIOR_COUNT * spec.noise
        freedom = float(stats.count.sum()) - self._posterior.freedom()
        estimate = error / (NOISE_PRIOR_COUNT + max(0.0, freedom))
        self._noise = max(LEAST_NOISE * spec.noise, estimate)
        self.refresh()

    def _solved(self) -> Posterior:
        width = self._stats.width
        shared, own = np.full(width, self._shared), np.full(width - 1, self._own)
        shared[0] = own[0] = self._spec.intercept
        shared[-1] = self._spec.slope
        return Posterior(self._stats, Prior(shared, own, self._noise))
