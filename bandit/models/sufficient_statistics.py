"""Per-action sufficient statistics of a linear model: all that learning has to remember."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.snapshots.parts import Arrays, shaped
from bandit.types import Vector

Array = NDArray[np.float64]

BUCKETS: Final = 256
"""Applications that are told apart; where there are more, two may share their effects."""


class SufficientStatistics:
    """Sums of each action slot: gram = sum phi phi', moment = sum phi y, square = sum y^2, count.

    phi has `width` numbers, the first always 1. Slots are appended, never removed, so actions may
    come and go. gram: (slots, width, width), moment: (slots, width), square and count: (slots,).
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.gram: Array = np.zeros((0, width, width))
        self.moment: Array = np.zeros((0, width))
        self.square: Vector = np.zeros(0)
        self.count: Vector = np.zeros(0)

    @property
    def slots(self) -> int:
        return len(self.count)

    def grow(self, slots: int) -> None:
        """Append empty slots up to `slots`."""
        missing = slots - self.slots
        if missing > 0:
            self.gram = _padded(self.gram, missing)
            self.moment = _padded(self.moment, missing)
            self.square = _padded(self.square, missing)
            self.count = _padded(self.count, missing)

    def add(self, slot: int, phi: Vector, y: float, weight: float, part: float = 1.0) -> None:
        """Add an outcome. part: the noise of others by its own, where it has more."""
        # The outer product first: it is symmetric to the last bit, and snapshots keep a triangle.
        told, square = weight * part, np.multiply.outer(phi, phi)
        if told != 1:
            square *= told
        self.gram[slot] += square
        self.moment[slot] += (told * y) * phi
        self.square[slot] += told * y * y
        self.count[slot] += weight

    def correct(self, slot: int, phi: Vector, old: float, new: float, weight: float) -> None:
        """Replace the y of an outcome that was added with y = old."""
        self.moment[slot] += (weight * (new - old)) * phi
        self.square[slot] += weight * (new * new - old * old)

    def scale(self, slot: int, factor: float) -> None:
        """Multiply the weight of every outcome of the slot; means stay."""
        for sums in (self.gram, self.moment, self.square, self.count):
            sums[slot] *= factor

    def forget_intercept(self, slot: int) -> None:
        """Marginalise the first coefficient out under a flat prior; slopes keep their evidence."""
        total = self.gram[slot, 0, 0]
        if total <= 0:
            return
        row, level = self.gram[slot, 0].copy(), self.moment[slot, 0]
        self.gram[slot] -= np.multiply.outer(row, row) / total
        self.moment[slot] -= row * (level / total)
        self.square[slot] = max(0.0, self.square[slot] - level * level / total)
        self.gram[slot, 0, :] = self.gram[slot, :, 0] = self.moment[slot, 0] = 0.0

    def add_level(
        self, slot: int, level: float, count: float, columns: NDArray[np.intp], phi: Vector
    ) -> None:
        """Add `count` outcomes with y = level where these columns are phi, and the others 0."""
        self.gram[slot][np.ix_(columns, columns)] += count * np.multiply.outer(phi, phi)
        self.moment[slot, columns] += count * level * phi
        self.square[slot] += count * level * level

    def widen(self, width: int) -> None:
        """Make room for more numbers before the last one, 0 in all that was added so far."""
        more = width - self.width
        self.gram = _inserted(_inserted(self.gram, more, 1), more, 2)
        self.moment = _inserted(self.moment, more, 1)
        self.width = width

    def arrays(self) -> Arrays:
        """Return the sums; each symmetric matrix as its upper triangle."""
        upper = np.triu_indices(self.width)
        return {
            "gram": self.gram[:, upper[0], upper[1]],
            "moment": self.moment,
            "square": self.square,
            "count": self.count,
        }

    def restore(self, arrays: Arrays, slots: int) -> None:
        """Restore the state, as wide as it was. Raises ValueError or KeyError for other arrays."""
        self.width = _width(arrays["moment"], self.width)
        upper = np.triu_indices(self.width)
        self.gram = np.zeros((slots, self.width, self.width))
        self.gram[:, upper[0], upper[1]] = shaped(arrays["gram"], (slots, len(upper[0])))
        self.gram[:, upper[1], upper[0]] = arrays["gram"]
        self.moment = shaped(arrays["moment"], (slots, self.width)).copy()
        self.square = shaped(arrays["square"], (slots,)).copy()
        self.count = shaped(arrays["count"], (slots,)).copy()


class ApplicationSums:
    """Sums of each pair of action slot and application: sum phi, sum y, count.

    An effect of every pair, of variance tau^2, is integrated out of the statistics: with noise
    sigma^2 and rho = sigma^2 / tau^2 it takes s s' / (n + rho) off the gram matrix, where s is the
    pair's sum of phi and n its count. Applications are kept in `BUCKETS` buckets.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._rows: dict[tuple[int, int], int] = {}
        self._sums: Array = np.zeros((0, width + 2))

    def __bool__(self) -> bool:
        return bool(self._rows)

    @property
    def slots(self) -> NDArray[np.intp]:
        """Return the slot of each pair, (pairs,)."""
        return np.array([slot for slot, _ in self._rows], dtype=np.intp)

    def add(self, slot: int, application: int, phi: Vector, y: float, weight: float) -> None:
        """Add an outcome; nothing where the application is 0, not known."""
        if not application:
            return
        key = slot, application % BUCKETS
        row = self._rows.setdefault(key, len(self._rows))
        if row == len(self._sums):
            self._sums = _padded(self._sums, max(8, row))
        self._sums[row] += weight * np.concatenate([phi, [y, 1.0]])

    def correct(self, slot: int, application: int, change: float) -> None:
        """Add to the sum of y."""
        row = self._rows.get((slot, application % BUCKETS))
        if application and row is not None:
            self._sums[row, -2] += change

    def scale(self, slot: int, factor: float) -> None:
        self._held[self.slots == slot] *= factor

    def forget_intercept(self, slot: int, phi: Vector, y: float) -> None:
        """Marginalise the slot's intercept out of what was added for it since the last time.

        phi, y: their means over the slot's outcomes since then.
        """
        mine = self.slots == slot
        self._held[mine, :-1] -= self._held[mine, :1] * np.append(phi, y)

    def widen(self, width: int) -> None:
        self._sums = np.insert(self._sums, [self._width - 1] * (width - self._width), 0.0, axis=1)
        self._width = width

    def of(self, slots: NDArray[np.intp], application: int) -> Array:
        """Return [sum phi, sum y, count] of each slot, (k, width + 2), 0 where there is none."""
        found = np.zeros((len(slots), self._width + 2))
        bucket = application % BUCKETS
        for i, slot in enumerate(slots.tolist()):
            row = self._rows.get((slot, bucket))
            if row is not None:
                found[i] = self._sums[row]
        return found

    def taken_off(self, stats: SufficientStatistics, ratio: Vector) -> SufficientStatistics:
        """Return the statistics without the effects. ratio: rho of each slot, (slots,)."""
        held, slots = self._held, self.slots
        divisor = held[:, -1] + ratio[slots]
        phi, y = held[:, :-2], held[:, -2]
        left = SufficientStatistics(stats.width)
        left.gram, left.moment = stats.gram.copy(), stats.moment.copy()
        left.square, left.count = stats.square.copy(), stats.count
        for slot in np.unique(slots).tolist():
            mine = slots == slot
            weighed = phi[mine] / divisor[mine, None]
            left.gram[slot] -= phi[mine].T @ weighed
            left.moment[slot] -= y[mine] @ weighed
            left.square[slot] -= float((y[mine] ** 2 / divisor[mine]).sum())
        return left

    def log_volume(self, ratio: Vector) -> float:
        """Return sum log(1 + n / rho), which the effects cost in twice the log evidence."""
        return float(np.log1p(self._held[:, -1] / ratio[self.slots]).sum())

    def arrays(self) -> Arrays:
        """Return nothing where no application was ever known."""
        if not self._rows:
            return {}
        pairs = np.array(list(self._rows), dtype=np.int32)
        return {"applications": pairs, "application_sums": self._held}

    def restore(self, arrays: Arrays, slots: int, width: int) -> None:
        """Restore the state. Raises ValueError or KeyError unless the arrays fit."""
        self._width, self._rows = width, {}
        self._sums = np.zeros((0, width + 2))
        if "applications" not in arrays:
            return
        pairs = shaped(arrays["applications"], (len(arrays["applications"]), 2))
        sums = shaped(arrays["application_sums"], (len(pairs), width + 2))
        self._rows = {(a, b): i for i, (a, b) in enumerate(pairs.tolist())}
        inside = all(0 <= a < slots and 0 <= b < BUCKETS for a, b in self._rows)
        if len(self._rows) < len(pairs) or not inside or (sums[:, -1] < 0).any():
            raise ValueError("the sums of the applications do not fit")
        self._sums = sums.copy()

    @property
    def _held(self) -> Array:
        return self._sums[: len(self._rows)]


def _padded(array: Array, rows: int) -> Array:
    return np.concatenate([array, np.zeros((rows, *array.shape[1:]))])


def _inserted(array: Array, more: int, axis: int) -> Array:
    return np.insert(array, [array.shape[axis] - 1] * more, 0.0, axis=axis)


def _width(moment: Array, least: int) -> int:
    if moment.ndim != 2 or moment.shape[1] < least:  # noqa: PLR2004 - a matrix
        raise ValueError("the statistics are too narrow")
    return int(moment.shape[1])
