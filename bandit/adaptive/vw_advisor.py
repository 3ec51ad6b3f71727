"""A regressor's advice on how actions differ, made before it saw what it advises on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.context.view import ContextView
from bandit.models.ring_buffer import OutcomeBuffer
from bandit.models.vowpal_wabbit import MORE, Regressor
from bandit.settings import ContextShape
from bandit.snapshots.parts import Arrays, shaped
from bandit.types import Vector

Rows = NDArray[np.intp]
Write = Callable[[Vector], str]

_LABELS: Final = 3
"""Slot, y and weight stand before the numbers of an outcome that waits."""


@dataclass(frozen=True, slots=True)
class RegressorStart:
    """A regressor that has learned nothing: it expects y, within [low, high]."""

    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _PendingOutcome:
    """An outcome for a regressor. numbers: of its whole context, (shape.total + MORE,).

    text: of these numbers, where it was written before.
    """

    numbers: Vector
    slot: int
    y: float
    weight: float
    text: str = ""


class VwAdvisor:
    """A Vowpal Wabbit regressor and the outcomes it is reminded of.

    Its advice is centred over the actions it learned about lately: what it adds to a head is how
    actions differ, and it counts only as much as the head's slope on it has earned. It would earn
    too much if it advised on a prompt after one action's outcome on that very prompt: outcomes of
    one context wait until another context comes, or the same action again.
    """

    def __init__(
        self, start: RegressorStart, shape: ContextShape, capacity: int, write: Write
    ) -> None:
        self._start = start
        self._total = shape.total
        self._write = write
        self._buffer = OutcomeBuffer(shape.total + MORE, capacity, key="contexts")
        self._waiting: list[_PendingOutcome] = []
        self._made: Regressor | None = None

    def advice(self, text: str, rows: Rows) -> Vector:
        """Return advice for each row, (k,), 0 for actions it knows nothing of."""
        known = self._buffer.known
        if len(known) < 2:  # noqa: PLR2004 - one action alone is its own mean
            return np.zeros(len(rows))
        predicted = self._regressor.predict(text, known)
        centred = predicted - np.add.reduce(predicted) / len(known)
        advice = dict(zip(known, centred.tolist(), strict=True))
        return np.array([advice.get(row, 0.0) for row in rows.tolist()])

    def learn(self, view: ContextView, slot: int, y: float, weight: float) -> None:
        """Add an outcome to those that wait; learn these first where it can't wait with them."""
        numbers = view.whole
        told = numbers.tobytes()
        same = all(met.numbers.tobytes() == told for met in self._waiting[:1])
        if not same or any(met.slot == slot for met in self._waiting):
            self._take_in()
        self._waiting.append(_PendingOutcome(numbers, slot, y, weight, view.text))

    def grow(self, slots: int) -> None:
        """Know actions by their numbers, however many."""

    def arrays(self) -> Arrays:
        model = np.frombuffer(self._regressor.save(), dtype=np.uint8)
        rows = [[met.slot, met.y, met.weight, *met.numbers] for met in self._waiting]
        waiting = np.array(rows).reshape(-1, _LABELS + self._total + MORE)
        held = self._buffer.arrays()
        held["contexts"] = _trimmed(held["contexts"], self._total)
        return {"model": model, "waiting": _trimmed(waiting, _LABELS + self._total), **held}

    def restore(self, arrays: Arrays, slots: int) -> None:
        """Restore the state. Raises ValueError or KeyError unless the arrays fit."""
        contexts = _filled(arrays["contexts"], self._total)
        self._buffer.restore({**arrays, "contexts": contexts}, slots)
        rows = _filled(arrays["waiting"], _LABELS + self._total)
        rows = shaped(rows, (len(rows), _LABELS + self._total + MORE))
        if len(rows) and not 0 <= rows[:, 0].min() <= rows[:, 0].max() < slots:
            raise ValueError("an outcome that waits is of no action")
        self._waiting = [
            _PendingOutcome(r[_LABELS:].copy(), int(r[0]), *r[1:_LABELS].tolist()) for r in rows
        ]
        self._made = self._open(arrays["model"].tobytes())

    def _take_in(self) -> None:
        """Learn the outcomes that wait, each with one of the last ones."""
        for met in self._waiting:
            self._teach(met)
            self._buffer.add(met.numbers, met.slot, met.y, met.weight)
            self._teach(_PendingOutcome(*self._buffer.pick()))
        self._waiting = []

    def _teach(self, met: _PendingOutcome) -> None:
        text = met.text or self._write(met.numbers)
        self._regressor.learn(text, met.slot, met.y, met.weight)

    @property
    def _regressor(self) -> Regressor:
        # Made when first needed: a restored advisor never needs the empty one.
        if self._made is None:
            self._made = self._open(None)
        return self._made

    def _open(self, model: bytes | None) -> Regressor:
        start = self._start
        return Regressor(initial=start.y, low=start.low, high=start.high, model=model)


def _trimmed(rows: NDArray[Any], width: int) -> NDArray[Any]:
    """Return the rows without what they hold of whole requests, where none of them holds any."""
    return rows if rows[:, width:].any() else rows[:, :width]


def _filled(rows: NDArray[Any], width: int) -> NDArray[Any]:
    """Return trimmed rows with zeros in place of what was left out."""
    if rows.ndim != 2 or rows.shape[1] != width:  # noqa: PLR2004 - a matrix
        return rows
    return np.concatenate([rows, np.zeros((len(rows), MORE), rows.dtype)], axis=1)
