"""Outcomes that a regression has observed and not yet solved for, in their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from bandit.snapshots.parts import Arrays, shaped
from bandit.types import Vector

_NOTHING: Final = -1.0
"""The amount beside where there is none; amounts are not negative."""
_LABELS: Final = 3
"""Slot, y and weight stand before the numbers of an outcome."""


@dataclass(frozen=True, slots=True)
class PendingOutcome:
    """An outcome: y of phi.

    beside: another amount of it. part: the noise of outcomes on known prompts, by that of this one.
    """

    slot: int
    phi: Vector
    y: float
    weight: float
    application: int = 0
    beside: float | None = None
    part: float = 1.0

    @property
    def row(self) -> Vector:
        return np.concatenate([np.array([self.slot, self.y, self.weight]), self.phi])


class PendingOutcomes:
    """A list of outcomes that a snapshot keeps as they are."""

    def __init__(self) -> None:
        self._each: list[PendingOutcome] = []

    def add(self, outcome: PendingOutcome) -> None:
        self._each.append(outcome)

    def taken(self) -> list[PendingOutcome]:
        """Return all of them, and hold none from then on."""
        each, self._each = self._each, []
        return each

    def has_applications(self) -> bool:
        return any(outcome.application for outcome in self._each)

    def arrays(self, width: int) -> Arrays:
        rows = np.array([outcome.row for outcome in self._each])
        return {"fresh": rows.reshape(-1, width + _LABELS)}

    def application_arrays(self) -> Arrays:
        asked = [outcome.application for outcome in self._each]
        return {"fresh_applications": np.array(asked, dtype=np.int32)}

    def prompt_arrays(self) -> Arrays:
        """Return what only a regression that knows prompts has to keep."""
        beside = [_NOTHING if o.beside is None else o.beside for o in self._each]
        parts = [outcome.part for outcome in self._each]
        return {"fresh_beside": np.array(beside), "fresh_parts": np.array(parts)}

    def restore(self, arrays: Arrays, slots: int, width: int) -> list[PendingOutcome]:
        """Restore what the three gave, and return it. Raises ValueError or KeyError."""
        rows = shaped(arrays["fresh"], (len(arrays["fresh"]), width + _LABELS))
        if len(rows) and not 0 <= rows[:, 0].min() <= rows[:, 0].max() < slots:
            raise ValueError("an observation of no action")
        usual: Arrays = {"applications": np.zeros(len(rows), dtype=np.int32)}
        usual |= {"beside": np.full(len(rows), _NOTHING), "parts": np.ones(len(rows))}
        told = [shaped(arrays.get(f"fresh_{n}", usual[n]), (len(rows),)).tolist() for n in usual]
        self._each = [
            PendingOutcome(
                int(row[0]),
                row[_LABELS:].copy(),
                float(row[1]),
                float(row[2]),
                application,
                None if beside == _NOTHING else beside,
                part,
            )
            for row, application, beside, part in zip(rows, *told, strict=True)
        ]
        return self._each
