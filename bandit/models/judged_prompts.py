"""Prompts on which several actions were judged, and how much of an outcome is the prompt's own.

A hard prompt is hard for every action: the residuals of the actions on one prompt go together.
With R_ia the residual of action a on prompt i, v their mean square and c the mean of R_ia R_ib over
pairs of actions, rho = c / v is the share of the noise that they have in common, and the effect of
a prompt with k actions judged is its best linear prediction (a random intercept, Henderson 1975):

    p_i = k rho / (1 - rho + k rho) * mean_a R_ia
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.models.sufficient_statistics import ApplicationSums, SufficientStatistics
from bandit.snapshots.parts import Arrays, shaped
from bandit.types import Vector

Array = NDArray[np.float64]

MEMORY: Final = 2_048
"""Prompts kept; the effects of older ones stay as they were last found."""
MOST_SHARED: Final = 0.9
FEWEST: Final = 2
"""Actions judged on a prompt that tell its effect from theirs."""
_FIRST_ROWS: Final = 64


@dataclass(frozen=True, slots=True)
class PromptShare:
    """An outcome's place. number: of its prompt. of: actions that are judged on that prompt."""

    number: int
    of: int


class JudgedPrompts:
    """The last prompts with their outcomes. The statistics hold y less the effect of each prompt.

    number, wanted, heard, application, effect: (n,), heard: outcomes so far, of those wanted.
    x: (n, width), rounded to float16. v, y, weight: (n, slots), weight 0 where nothing is known, or
    where the statistics do not hold the outcome as it was any more.
    """

    def __init__(self, width: int, slots: int) -> None:
        self._rows: dict[int, int] = {}
        self._added = self._complete = 0
        self._middle: Vector | None = None
        self._judged: Vector | None = None
        self._shared = 0.0
        self._labels: Array = np.zeros((0, 5))
        self._x: NDArray[np.float32] = np.zeros((0, width), dtype=np.float32)
        self._told: Array = np.zeros((3, 0, slots))

    @property
    def complete(self) -> int:
        """Count prompts that are kept, all of whose actions were judged."""
        return self._complete

    @property
    def added(self) -> int:
        """Count prompts ever added, also those that have gone."""
        return self._added

    @property
    def part(self) -> float:
        """Return the part of the noise that is no prompt's: 1 - rho, as last found."""
        return 1 - self._shared

    def add(
        self,
        share: PromptShare,
        slot: int,
        phi: Vector,
        told: tuple[float, float],
        application: int,
    ) -> bool:
        """Add an outcome; return whether its prompt is complete by it. told: y and weight."""
        row = self._row(share, slot, phi[:-1], application)
        self._told[:, row, slot] = phi[-1], *told
        self._labels[row, 2] += 1
        complete = bool(self._labels[row, 2] == self._labels[row, 1])
        self._complete += complete
        self._middle = self._judged = None
        return complete

    def effects(self, expected: Array) -> Vector:
        """Return the effects of all prompts, (n,), 0 of one that is not complete.

        expected: (n, slots), of y without them.
        """
        known = (self._weights > 0) & self._is_complete[:, None]
        known &= (known.sum(axis=1) >= FEWEST)[:, None]
        residuals = np.where(known, self._y - expected, 0.0)
        squares, sums, k = (residuals**2).sum(axis=1), residuals.sum(axis=1), known.sum(axis=1)
        if not squares.sum():
            return np.zeros(len(k))
        alone = squares.sum() / k.sum()
        common = (sums**2 - squares).sum() / (k * (k - 1)).sum()
        rho = self._shared = float(np.clip(common / alone, 0.0, MOST_SHARED))
        effects: Vector = rho * sums / (1 - rho + k * rho)
        return effects

    def without_effects(self) -> Vector:
        return np.zeros(self._held)

    def shift(
        self, effects: Vector, stats: SufficientStatistics, applications: ApplicationSums
    ) -> None:
        """Let the statistics hold y less these effects, in the place of those before."""
        before, weights = self._kept[:, 4].copy(), self._weights
        change = weights * (before - effects)[:, None]
        stats.moment[:, :-1] += change.T @ self._numbers
        stats.moment[:, -1] += (change * self._v).sum(axis=0)
        middle = 2 * self._y - (before + effects)[:, None]
        stats.square[:] = np.maximum(0.0, stats.square + (change * middle).sum(axis=0))
        for application in np.unique(self.applications).tolist():
            sums = change[self._applications == application].sum(axis=0)
            for slot in np.flatnonzero(sums).tolist():
                applications.correct(slot, application, float(sums[slot]))
        self._kept[:, 4] = effects

    def effect_of(self, slot: int, x: Vector, y: float, right: float) -> float | None:
        """Put `right` in the place of a remembered y; return its prompt's effect, None if none."""
        same = (self._weights[:, slot] > 0) & (self._y[:, slot] == y)
        same &= (self._numbers == x.astype(np.float16)).all(axis=1)
        found = np.flatnonzero(same)
        if not len(found):
            return None
        self._y[found[-1], slot] = right
        return float(self._kept[found[-1], 4])

    def expected(self, weights: Array) -> Array:
        """Return what coefficients expect on each prompt, (n, slots); weights: (slots, width)."""
        found: Array = self._numbers @ weights[:, :-1].T + self._v * weights[:, -1]
        return found

    @property
    def applications(self) -> NDArray[np.intp]:
        return self._applications.astype(np.intp)

    def middle(self) -> Vector:
        """Return the mean x of the complete prompts, (width,)."""
        if self._middle is None:
            self._middle = self._numbers[self._is_complete].mean(axis=0, dtype=np.float64)
        return self._middle

    def judged(self) -> Vector:
        """Return on how many prompts each action was judged as it is today, (slots + 1,).

        The last one is that of an action never seen, 0.
        """
        if self._judged is None:
            self._judged = np.append((self._weights > 0).sum(axis=0).astype(np.float64), 0.0)
        return self._judged

    def forget(self, slot: int) -> None:
        """Leave the slot's outcomes as they stand in the statistics."""
        self._weights[:, slot] = 0.0
        self._judged = None

    def scale(self, slot: int, factor: float) -> None:
        self._weights[:, slot] *= factor

    def grow(self, slots: int) -> None:
        missing = slots - self._told.shape[2]
        if missing > 0:
            self._told = np.pad(self._told, ((0, 0), (0, 0), (0, missing)))
            self._judged = None

    def widen(self, width: int) -> None:
        """Make room for more numbers at the end of x, 0 in all that was added so far.

        width: of x and v.
        """
        self._x = np.pad(self._x, ((0, 0), (0, width - 1 - self._x.shape[1])))
        self._middle = None

    def arrays(self) -> Arrays:
        return {
            "prompts": self._kept,
            "prompts_x": self._numbers.astype(np.float16),
            "prompts_told": self._told[:, : self._held],
            "prompts_added": np.array([self._added], dtype=np.float64),
            "prompts_shared": np.array([self._shared]),
        }

    def restore(self, arrays: Arrays, slots: int) -> None:
        """Restore what `arrays` gave. Raises ValueError or KeyError for other arrays."""
        labels = arrays["prompts"]
        held, self._added = len(labels), int(shaped(arrays["prompts_added"], (1,))[0])
        self._shared = float(shaped(arrays["prompts_shared"], (1,))[0])
        if held != min(self._added, MEMORY) or not 0 <= self._shared <= MOST_SHARED:
            raise ValueError("the count of prompts or what they share is out of range")
        self._labels = shaped(labels, (held, 5)).copy()
        x = shaped(arrays["prompts_x"], (held, self._x.shape[1]))
        self._x = x.astype(np.float32)
        self._told = shaped(arrays["prompts_told"], (3, held, slots)).copy()
        if (self._weights < 0).any() or (self._weights > 1).any():
            raise ValueError("a weight of a prompt's outcome is out of range")
        self._complete, self._middle = int(self._is_complete.sum()), None
        self._judged = None
        self._rows = {}
        for row in np.roll(np.arange(held), -(self._added % max(held, 1))).tolist():
            self._rows[int(labels[row, 0])] = row

    def _row(self, share: PromptShare, slot: int, x: Vector, application: int) -> int:
        """Return the row of a prompt that waits for the slot, a new one where there is none."""
        row, rounded = self._rows.get(share.number), x.astype(np.float16)
        if row is not None:
            waits = self._labels[row, 2] < self._labels[row, 1] and not self._told[2, row, slot]
            if waits and (self._x[row] == rounded).all():
                return row
        row = self._added % MEMORY
        if row >= self._held:
            self._make_room(row)
        else:
            self._let_go(row)
        self._labels[row] = share.number, share.of, 0, application, 0.0
        self._x[row], self._told[:, row] = rounded, 0.0
        self._rows[share.number] = row
        self._added += 1
        return row

    def _let_go(self, row: int) -> None:
        number, wanted, heard = self._labels[row, :3].tolist()
        self._complete -= heard == wanted
        if self._rows.get(int(number)) == row:
            del self._rows[int(number)]

    def _make_room(self, row: int) -> None:
        if row < len(self._labels):
            return
        more = min(max(_FIRST_ROWS, len(self._labels)), MEMORY - len(self._labels))
        self._labels = np.pad(self._labels, ((0, more), (0, 0)))
        self._x = np.pad(self._x, ((0, more), (0, 0)))
        self._told = np.pad(self._told, ((0, 0), (0, more), (0, 0)))

    @property
    def _held(self) -> int:
        return min(self._added, MEMORY)

    @property
    def _kept(self) -> Array:
        return self._labels[: self._held]

    @property
    def _numbers(self) -> NDArray[np.float32]:
        return self._x[: self._held]

    @property
    def _is_complete(self) -> NDArray[np.bool_]:
        complete: NDArray[np.bool_] = self._kept[:, 2] >= self._kept[:, 1]
        return complete

    @property
    def _applications(self) -> Vector:
        return self._kept[:, 3]

    @property
    def _v(self) -> Array:
        return self._told[0, : self._held]

    @property
    def _y(self) -> Array:
        return self._told[1, : self._held]

    @property
    def _weights(self) -> Array:
        return self._told[2, : self._held]
