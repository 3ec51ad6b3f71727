"""A head predicts one kind of outcome; heads of cost and latency work on the log ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.adaptive.trees import Trees
from bandit.adaptive.vw_advisor import Adviser
from bandit.context.view import View
from bandit.models.regression import Layer, LayerSpec
from bandit.models.sufficient_statistics import shaped
from bandit.snapshots.codec import part_of
from bandit.types import Vector

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

_LEAST_RATIO: Final = 1e-9
NEAR: Final = 2.5
"""Widths of its bounds that a head may be off their middle: a little extrapolation is no fault."""


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """low, high: bounds of y."""

    layer: LayerSpec
    low: float
    high: float


QUALITY: Final = HeadSpec(LayerSpec(offset=0.75, noise=0.12), 0.0, 1.0)
FAILURE: Final = HeadSpec(LayerSpec(offset=0.02, noise=0.02, intercept=0.01), 0.0, 1.0)
LOG_COST: Final = HeadSpec(LayerSpec(offset=0.0, noise=0.5), -4.0, 2.5)
LOG_LATENCY: Final = HeadSpec(LayerSpec(offset=0.0, noise=0.5, intercept=2.0), -7.0, 6.0)


class Head:
    """A layer, with or without an adviser and trees beside it. size: numbers in a view's x."""

    def __init__(
        self, spec: HeadSpec, size: int, adviser: Adviser | None = None, trees: Trees | None = None
    ) -> None:
        self.layer = Layer(spec.layer, size)
        self._spec = spec
        self._adviser = adviser
        self._trees = trees

    def advice(self, view: View, rows: Rows) -> Vector | None:
        """Of the adviser, (k,); None without one, and while the layer does not listen to it."""
        return self._advice(view, rows) if self.layer.listens else None

    def expected(self, view: View, rows: Rows, advice: Vector | None) -> Vector:
        """Expected y, not put within its bounds; (k,)."""
        y = self.layer.mean(rows, view.x, advice)
        return y + self._trees.shift(view, rows, y) if self._trees else y

    def mean(self, view: View, rows: Rows, advice: Vector | None) -> Vector:
        """Expected y within its bounds, (k,)."""
        return self.bounded(self.expected(view, rows, advice))

    def is_near(self, view: View, rows: Rows) -> bool:
        """Whether what the model expects lies at most two widths outside its bounds.

        An adviser is taken to advise half a width. Trees can't err by more than one: they are left
        out.
        """
        low, high = self._spec.low, self._spec.high
        advice = np.full(len(rows), (high - low) / 2) if self._adviser else None
        y = self.layer.mean(rows, view.x, advice)
        return bool((abs(y - (low + high) / 2) <= NEAR * (high - low)).all())

    def bounded(self, y: Vector) -> Vector:
        bounded: Vector = np.minimum(np.maximum(y, self._spec.low), self._spec.high)
        return bounded

    def learn(
        self, view: View, slot: int, y: float, weight: float, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Returns y within its bounds, and what the layer expected before it was learned."""
        y = min(max(y, self._spec.low), self._spec.high)
        row = np.array([slot])
        advice = self._advice(view, row)
        expected = float(self.layer.mean(row, view.x, advice)[0])
        v = 0.0 if advice is None else float(advice[0])
        self.layer.observe(slot, view.x, v, y, weight)
        if self._adviser:
            self._adviser.learn(view, slot, y, weight, rng)
        if self._trees:
            self._trees.learn(view, slot, (y, expected), weight, rng)
        return y, expected

    def correct(
        self,
        view: View,
        slot: int,
        told: tuple[float, float | None],
        weight: float,
        rng: np.random.Generator,
    ) -> None:
        """told: (y as it was learned, y as it was); None for not known after all.

        What is not known is put at what the layer expects. The adviser, which can't take anything
        back, learns the new value once more; the trees see it when they are grown again. An action
        without such an outcome learns it as a first one.
        """
        (old, new), row = told, np.array([slot])
        if self.layer.counts(row)[0] < weight:
            if new is not None:
                self.learn(view, slot, new, weight, rng)
            return
        advice = self._advice(view, row)
        v = 0.0 if advice is None else float(advice[0])
        expected = float(self.bounded(self.layer.mean(row, view.x, advice))[0])
        right = expected if new is None else new
        self.layer.correct(slot, np.append(view.x, v), old, right, weight)
        if self._adviser and new is not None:
            self._adviser.learn(view, slot, new, weight, rng)
        if self._trees:
            self._trees.correct(view, slot, told)

    def shift_level(self, slot: int, shift: float, count: float) -> None:
        """As `Layer.shift_intercept`; the trees forget the action."""
        self.layer.shift_intercept(slot, shift, count)
        if self._trees:
            self._trees.forget(slot)

    def limit(self, most: float) -> None:
        """As `Layer.limit`; the adviser stays as it is."""
        self.layer.limit(most)
        if self._trees:
            self._trees.limit(most)

    def grow(self, slots: int) -> None:
        self.layer.grow(slots)
        if self._trees:
            self._trees.grow(slots)

    def arrays(self) -> dict[str, NDArray[Any]]:
        beside = {"vw": self._adviser, "trees": self._trees}
        return self.layer.arrays() | {
            f"{part}.{name}": array
            for part, held in beside.items()
            if held
            for name, array in held.arrays().items()
        }

    def restore(self, arrays: dict[str, NDArray[Any]], slots: int) -> None:
        """Raises ValueError or KeyError when the arrays do not fit this head."""
        self.layer.restore(arrays, slots)
        if self._adviser:
            self._adviser.restore(part_of(arrays, "vw"), slots)
        if self._trees:
            self._trees.restore(part_of(arrays, "trees"), slots)

    def _advice(self, view: View, rows: Rows) -> Vector | None:
        return self._adviser.advice(view.text, rows) if self._adviser else None


class RatioHead:
    """Positive amounts, as a multiple of a prior amount: prior * exp(y) * smoothing.

    The smoothing S = (10 + sum min(amount / (prior exp y), 6)) / (10 + n) over all actions turns
    the geometric mean that a log model finds into an arithmetic one.
    """

    _START: Final = 10.0
    _MOST: Final = 6.0

    def __init__(self, head: Head) -> None:
        self.head = head
        self._sums = np.array([self._START, self._START])

    def limit(self, most: float) -> None:
        """As `Layer.limit`."""
        self.head.limit(most)
        self._sums *= min(1.0, most / float(self._sums[1]))

    def mean(self, view: View, rows: Rows, priors: Vector) -> Vector:
        """Expected amounts, (k,); priors: (k,)."""
        log = self.head.mean(view, rows, self.head.advice(view, rows))
        amounts: Vector = priors * np.exp(log) * (self._sums[0] / self._sums[1])
        return amounts

    def learn(
        self,
        view: View,
        slot: int,
        ratio: float,
        weight: float,
        rng: np.random.Generator,
    ) -> tuple[float, float]:
        """ratio: the amount over its prior, >= 0. Returns the logarithm, and what was expected."""
        y = math.log(max(ratio, _LEAST_RATIO))
        bounded, expected = self.head.learn(view, slot, y, weight, rng)
        self._sums += weight * np.array([min(np.exp(bounded - expected), self._MOST), 1.0])
        return bounded, expected

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"sums": self._sums, **self.head.arrays()}

    def restore(self, arrays: dict[str, NDArray[Any]], slots: int) -> None:
        self._sums = shaped(arrays["sums"], (2,)).copy()
        self.head.restore(arrays, slots)
