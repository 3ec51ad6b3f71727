"""A head predicts one kind of outcome; heads of cost and latency work on the log ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.adaptive.trees import QualityTrees
from bandit.adaptive.vw_advisor import VwAdvisor
from bandit.context.view import ContextView
from bandit.models.judged_prompts import PromptShare
from bandit.models.regression import HierarchicalRegression, RegressionSpec, fitted
from bandit.snapshots.parts import Arrays, SnapshotPart, gathered, restore_parts, shaped
from bandit.types import Vector

Rows = NDArray[np.intp]
Matrix = NDArray[np.float64]

_LEAST_RATIO: Final = 1e-9
NEAR: Final = 2.5
"""Widths of its bounds that a head may be off their middle: a little extrapolation is no fault."""


SURE: Final = 100
"""Prompts of which every action is known, and outcomes that tell of an action's level today, from
which the action is well known: few mislead, and what is then not served is not learned."""
COMPARED: Final = 8
"""Prompts on which an action was judged beside others, from which its draws are narrow where more
are bought: what else there is to find out of it is asked beside requests, at its price alone. So
few mislead for good where nothing more is asked."""
DROPPED: Final = 20
"""Prompts on which an action was judged beside others, from which it is as well known as it is
going to be: who buys evidence asks it of no more where it is clearly behind."""


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """A kind of outcome. low, high: bounds of y. trees: also once `SURE` prompts are known."""

    regression: RegressionSpec
    low: float
    high: float
    trees: bool = True
    axes: float = 0.0

    def within(self, y: float) -> float:
        """Return y put within its bounds."""
        return min(max(y, self.low), self.high)


QUALITY: Final = HeadSpec(RegressionSpec(offset=0.75, noise=0.12), 0.0, 1.0)
FAILURE: Final = HeadSpec(RegressionSpec(offset=0.02, noise=0.02, intercept=0.01), 0.0, 1.0)
LOG_COST: Final = HeadSpec(RegressionSpec(offset=0.0, noise=0.5), -4.0, 2.5)
LOG_LATENCY: Final = HeadSpec(RegressionSpec(offset=0.0, noise=0.5, intercept=2.0), -7.0, 6.0)


class OutcomeHead:
    """A regression, with or without an advisor and trees beside it. size: numbers in a view's x."""

    def __init__(
        self,
        spec: HeadSpec,
        size: int,
        advisor: VwAdvisor | None = None,
        trees: QualityTrees | None = None,
    ) -> None:
        self.regression = HierarchicalRegression(spec.regression, size)
        self.spec = spec
        self._advisor = advisor
        self._trees = trees

    def x(self, view: ContextView, *, begins: bool = False) -> Vector:
        """Return a context's numbers, with the projection once prompts are known in full.

        begins: with the outcome that is about to be learned.
        """
        axes = self.spec.axes
        return view.wide(axes) if axes and (begins or self.regression.knows_prompts) else view.x

    def advice(self, view: ContextView, rows: Rows) -> Vector | None:
        """Return the advisor's advice, (k,); None while the regression does not listen to one."""
        return self._advice(view, rows) if self.regression.listens else None

    def expected(self, view: ContextView, rows: Rows, advice: Vector | None) -> Vector:
        """Return expected y, not put within its bounds; (k,)."""
        y = self._regressed(view, rows, advice)
        trees = self._listened
        return y + trees.shift(view, rows, y) if trees else y

    def mean(self, view: ContextView, rows: Rows, advice: Vector | None) -> Vector:
        """Return expected y within its bounds, (k,)."""
        return self.bounded(self.expected(view, rows, advice))

    def is_near(self, view: ContextView, rows: Rows) -> bool:
        """Return whether the expected y lies at most two widths outside its bounds.

        An advisor is taken to advise half a width. Trees, which can't err by more than one, are
        left out.
        """
        low, high = self.spec.low, self.spec.high
        advice = np.full(len(rows), (high - low) / 2) if self._advisor else None
        y = self._regressed(view, rows, advice)
        return bool((abs(y - (low + high) / 2) <= NEAR * (high - low)).all())

    def bounded(self, y: Vector) -> Vector:
        bounded: Vector = np.minimum(np.maximum(y, self.spec.low), self.spec.high)
        return bounded

    def learn(
        self,
        view: ContextView,
        slot: int,
        y: float,
        weight: float,
        *,
        share: PromptShare | None = None,
        beside: float | None = None,
    ) -> tuple[float, float]:
        """Return y within its bounds, and what the regression expected before it was learned.

        share, beside: as in `HierarchicalRegression.observe`.
        """
        y = self.spec.within(y)
        v = self._advice_on(view, slot)
        expected = self.regression.expected(slot, self.x(view), v, view.application)
        x = self.x(view, begins=share is not None)
        self.regression.observe(
            slot, x, v, y, weight, application=view.application, share=share, beside=beside
        )
        if self._advisor:
            self._advisor.learn(view, slot, y, weight)
        if trees := self._listened:
            trees.learn(view, slot, (y, expected), weight)
        return y, expected

    def correct(
        self,
        view: ContextView,
        slot: int,
        correction: tuple[float, float | None],
        weight: float,
        *,
        beside: float | None = None,
    ) -> None:
        """Correct an outcome. correction: (y as learned, right y); None for not known after all.

        An unknown y is put at what the regression expects. The advisor, which can't take anything
        back, learns the new value once more; the trees see it when they are grown again. An action
        without such an outcome learns it as a first one, with what is told beside it.
        """
        old, new = correction
        if self.regression.counts(np.array([slot]))[0] < weight:
            if new is not None:
                self.learn(view, slot, new, weight, beside=beside)
            return
        v = self._advice_on(view, slot)
        y = self.regression.expected(slot, self.x(view), v, view.application)
        right = self.spec.within(y) if new is None else new
        phi = np.append(self.x(view), v)
        self.regression.correct(slot, phi, old, right, weight, application=view.application)
        if self._advisor and new is not None:
            self._advisor.learn(view, slot, new, weight)
        if self._trees:
            self._trees.correct(view, slot, correction)

    def shift_level(self, slot: int, shift: float, count: float) -> None:
        """Shift the regression's intercept; the trees forget the action."""
        self.regression.shift_intercept(slot, shift, count)
        if self._trees:
            self._trees.forget(slot)

    def limit(self, most: float) -> None:
        """Limit the regression and the trees; the advisor stays as it is."""
        self.regression.limit(most)
        if self._trees:
            self._trees.limit(most)

    def grow(self, slots: int) -> None:
        self.regression.grow(slots)
        for part in self._beside().values():
            part.grow(slots)

    def arrays(self) -> Arrays:
        return {**self.regression.arrays(), **gathered(self._beside())}

    def restore(self, arrays: Arrays, slots: int) -> None:
        """Restore the state. Raises ValueError or KeyError unless the arrays fit this head."""
        self.regression.restore(arrays, slots)
        restore_parts(self._beside(), arrays, slots)

    def _beside(self) -> dict[str, SnapshotPart]:
        parts: dict[str, SnapshotPart | None] = {"vw": self._advisor, "trees": self._trees}
        return {name: part for name, part in parts.items() if part}

    def covariance(
        self, view: ContextView, rows: Rows, advice: Vector | None, *, settled: bool = False
    ) -> Matrix:
        """Return the joint covariance of the expected y, (k, k)."""
        x, application = self.x(view), view.application
        return self.regression.covariance(rows, x, advice, application, settled=settled)

    def add_beside(self, y: Vector, view: ContextView, rows: Rows) -> None:
        """Add what the advisor and the application tell to what x alone tells, (k,)."""
        if self.regression.listens or view.application:
            self.regression.add_beside(y, rows, self.advice(view, rows), view.application)

    @property
    def _listened(self) -> QualityTrees | None:
        """Return the trees, where they are listened to."""
        if self._trees and (self.spec.trees or self.regression.prompts < SURE):
            return self._trees
        return None

    def _regressed(self, view: ContextView, rows: Rows, advice: Vector | None) -> Vector:
        return self.regression.mean(rows, self.x(view), advice, view.application)

    def _advice_on(self, view: ContextView, slot: int) -> float:
        advice = self._advice(view, np.array([slot])) if self._advisor else None
        return 0.0 if advice is None else float(advice[0])

    def _advice(self, view: ContextView, rows: Rows) -> Vector | None:
        return self._advisor.advice(view.text, rows) if self._advisor else None


class HeadsTogether:
    """Heads without trees that see the same numbers of a context: one product serves all of them.

    logs: of the first ones, y is the logarithm of what is wanted.
    """

    def __init__(self, heads: Sequence[OutcomeHead], logs: int) -> None:
        self._heads = heads
        self._logs = logs
        self._solved: list[Matrix] = []
        self._weights: Matrix = np.zeros((0, 0))

    def of(self, view: ContextView, rows: Rows) -> list[list[float]]:
        """Return what each head expects of each row within its bounds, the first as exp(y)."""
        solved = [head.regression.weights for head in self._heads]
        if list(map(id, solved)) != list(map(id, self._solved)):
            self._stack(solved)
        x = fitted(view.x, self._weights.shape[1])
        y: Matrix = (self._weights @ x).reshape(len(solved), -1).take(rows, axis=1)
        for head, row in zip(self._heads, y, strict=True):
            head.add_beside(row, view, rows)
        pairs = zip(self._heads, y.tolist(), strict=True)
        told = [list(map(head.spec.within, row)) for head, row in pairs]
        return [list(map(math.exp, row)) for row in told[: self._logs]] + told[self._logs :]

    def _stack(self, solved: list[Matrix]) -> None:
        """Put the weights below one another, as wide as the widest; the first number is a 1."""
        width = max(weights.shape[1] for weights in solved) - 1
        stacked = np.zeros((len(solved), len(solved[0]), width))
        for place, head, weights in zip(stacked, self._heads, solved, strict=True):
            place[:, : weights.shape[1] - 1] = weights[:, :-1]
            place[:, 0] += head.spec.regression.offset
        self._solved, self._weights = solved, stacked.reshape(-1, width)


class RatioHead:
    """Positive amounts, as a multiple of a prior amount: prior * exp(y) * smoothing.

    Of a cost it is the guessed part alone: the input is paid whatever is answered.

    The smoothing S = (10 + sum min(amount / (prior exp y), 6)) / (10 + n) over all actions turns
    the geometric mean that a log model finds into an arithmetic one.
    """

    _START: Final = 10.0
    _MOST: Final = 6.0

    def __init__(self, head: OutcomeHead) -> None:
        self.head = head
        self._sums = np.array([self._START, self._START])

    def grow(self, slots: int) -> None:
        self.head.grow(slots)

    def limit(self, most: float) -> None:
        """Limit the weight of what was learned as `HierarchicalRegression.limit` does."""
        self.head.limit(most)
        self._sums *= min(1.0, most / float(self._sums[1]))

    def usual(self, slot: int, x: Vector) -> float:
        """Return the expected ratio at x, of no application and without advice."""
        log = self.head.bounded(self.head.regression.levels(np.array([slot]), x))
        return float(np.exp(log[0]) * (self._sums[0] / self._sums[1]))

    def mean(self, view: ContextView, rows: Rows, priors: Vector | float) -> Vector:
        """Return expected amounts, (k,); priors: (k,), or one for all."""
        log = self.head.mean(view, rows, self.head.advice(view, rows))
        total, count = self._sums.tolist()
        amounts: Vector = priors * np.exp(log) * (total / count)
        return amounts

    def amounts(self, ratios: list[float]) -> list[float]:
        """Return expected amounts by their priors, (k,). ratios: exp(y), (k,)."""
        total, count = self._sums.tolist()
        return [ratio * (total / count) for ratio in ratios]

    def learn(
        self,
        view: ContextView,
        slot: int,
        ratio: float,
        weight: float,
    ) -> tuple[float, float]:
        """Learn amount / prior, >= 0; return its logarithm, and what was expected of that."""
        y = math.log(max(ratio, _LEAST_RATIO))
        bounded, expected = self.head.learn(view, slot, y, weight)
        self._sums[0] += weight * min(np.exp(bounded - expected), self._MOST)
        self._sums[1] += weight
        return bounded, expected

    def arrays(self) -> Arrays:
        return {"sums": self._sums, **self.head.arrays()}

    def restore(self, arrays: Arrays, slots: int) -> None:
        self._sums = shaped(arrays["sums"], (2,)).copy()
        self.head.restore(arrays, slots)
