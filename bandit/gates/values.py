"""The worth of each step: the value of information of one more answer.

With p = P(the answers agree), A the worth of accepting and E that of escalating, both less what is
still to be paid: ask = p max(A_agree, E_agree) + (1 - p) max(A_differ, E_differ) - price of asking
(Howard 1966, Information value theory).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.gates.types import GateExample, Step
from bandit.snapshots.parts import ArrayPart, Arrays
from bandit.types import Vector

Array = NDArray[np.float64]
AGREE: Final = 0
DIFFER: Final = 1

MOST_RATIO: Final = 100.0
_STRENGTH: Final = 4.0
_SHARES: Final = np.array([[0.85, 0.5], [0.85, 0.5], [0.9, 0.7]])
_AGREE_SHARE: Final = 0.7


@dataclass(frozen=True, slots=True)
class Beliefs:
    """P(good) of each answer: the first row holds means, more rows draws from what is believed.

    first, second, strong: (draws, n): n = 2 before the second opinion, columns AGREE and DIFFER of
    what it may say, and n = 1 once it was said. agree: (draws,), P(they agree) before it was.
    """

    first: Array
    second: Array
    strong: Array
    agree: Vector


@dataclass(frozen=True, slots=True)
class StepTerms:
    """Terms of one request, in units of utility. ask, escalate: their costs, None: not to be.

    quality: the worth of a good answer.
    """

    quality: float
    ask: float | None
    escalate: float | None


def before(beliefs: Beliefs, terms: StepTerms) -> dict[Step, Vector]:
    """Return the worth of each step before a second opinion, each (draws,)."""
    first = _mixed(beliefs.first, beliefs.agree)
    values = {Step.ACCEPT: terms.quality * first}
    if terms.ask is not None:
        later = terms.quality * np.maximum(beliefs.first, beliefs.second)
        later[:, AGREE] = terms.quality * _either(beliefs, AGREE)
        if terms.escalate is not None:
            later = np.maximum(later, terms.quality * beliefs.strong - terms.escalate)
        values[Step.ASK] = _mixed(later, beliefs.agree) - terms.ask
    if terms.escalate is not None:
        strong = _mixed(beliefs.strong, beliefs.agree)
        values[Step.ESCALATE] = terms.quality * strong - terms.escalate
    return values


def after(beliefs: Beliefs, terms: StepTerms, *, same: bool) -> dict[Step, Vector]:
    """Return the worth of each step after it, each (draws,). same: both answers are one."""
    if same:
        values = {Step.ACCEPT: terms.quality * _either(beliefs, 0)}
    else:
        values = {
            Step.ACCEPT: terms.quality * beliefs.first[:, 0],
            Step.SECOND: terms.quality * beliefs.second[:, 0],
        }
    if terms.escalate is not None:
        values[Step.ESCALATE] = terms.quality * beliefs.strong[:, 0] - terms.escalate
    return values


def _either(beliefs: Beliefs, column: int) -> Vector:
    """Average the two estimates of one answer that both gave."""
    middle: Vector = (beliefs.first[:, column] + beliefs.second[:, column]) / 2
    return middle


def _mixed(columns: Array, agree: Vector) -> Vector:
    mixed: Vector = agree * columns[:, AGREE] + (1 - agree) * columns[:, DIFFER]
    return mixed


def plain_step(values: Mapping[Step, Vector], *, agrees: bool | None) -> Step:
    """Return the rule's step; where nobody is above, the likelier answer is served."""
    if Step.ASK in values:
        return Step.ASK
    if agrees:
        return Step.ACCEPT
    if Step.ESCALATE in values:
        return Step.ESCALATE
    return best(values)


def best(values: Mapping[Step, Vector]) -> Step:
    """Return the step with the largest mean."""
    return max(values, key=lambda step: float(values[step][0]))


class LabelTally(ArrayPart):
    """Means started from a few made-up examples.

    An answer that was compared with none counts for either case by the share of agreement.
    """

    stored = ("sums", "counts", "agree", "ratio")

    def __init__(self) -> None:
        self._sums = _SHARES * _STRENGTH
        self._counts = np.full((3, 2), _STRENGTH)
        self._agree = np.array([_AGREE_SHARE * _STRENGTH, _STRENGTH])
        self._ratio = np.array([_STRENGTH, _STRENGTH])

    @property
    def agree_share(self) -> float:
        return float(self._agree[0] / self._agree[1])

    @property
    def cost_ratio(self) -> float:
        """Return the strong arm's real cost over the guessed part of its price."""
        return float(self._ratio[0] / self._ratio[1])

    def beliefs(self, *, agree: bool | None) -> Beliefs:
        """Return means. agree: what the second opinion said, None before it was asked."""
        means = self._sums / self._counts
        if agree is not None:
            column = AGREE if agree else DIFFER
            means = means[:, column : column + 1]
        first, second, strong = means[:, None, :]
        return Beliefs(first, second, strong, np.array([self.agree_share]))

    def add(self, example: GateExample, *, agree: bool | None) -> None:
        share = self.agree_share if agree is None else float(agree)
        weights = example.weight * np.array([share, 1 - share])
        for row, ok in enumerate((example.first_ok, example.second_ok, example.strong_ok)):
            if ok is not None:
                self._sums[row] += weights * ok
                self._counts[row] += weights
        if agree is not None and not example.repeated:
            self._agree += (example.weight * agree, example.weight)
        if example.strong_cost_ratio is not None:
            ratio = min(example.strong_cost_ratio, MOST_RATIO)
            self._ratio += (example.weight * ratio, example.weight)

    def restore(self, arrays: Arrays, slots: int) -> None:
        super().restore(arrays, slots)
        counts = [*self._counts.ravel(), self._agree[1], self._ratio[1]]
        if min(counts) <= 0 or min(*self._sums.ravel(), self._agree[0], self._ratio[0]) < 0:
            raise ValueError("a sum or a count is out of range")
