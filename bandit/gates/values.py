"""The worth of each step: the value of information of one more answer.

With p = P(the answers agree), A the worth of accepting and E that of escalating, both less what is
still to be paid: ask = p max(A_agree, E_agree) + (1 - p) max(A_differ, E_differ) - price of asking
(Howard 1966, Information value theory).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.gates.types import Step
from bandit.types import Vector

Array = NDArray[np.float64]
AGREE: Final = 0
DIFFER: Final = 1


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
