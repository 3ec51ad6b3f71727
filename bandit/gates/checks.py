"""Checks of what a gate is given, before anything is chosen by it or learned from it."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bandit.errors import BadAction, BadContext, BadOutcome, VersionMismatch
from bandit.gates.types import GateExample, GateInput, Prices
from bandit.settings import ContextShape
from bandit.types import Vector

MOST: Final = 100.0
"""Largest size of a number in a context or among the signals that were made as they should be."""


def check_prices(prices: Prices) -> None:
    """Raise BadAction for a price that is none."""
    for name, value in (("second_usd", prices.second_usd), ("strong_usd", prices.strong_usd)):
        if value is not None and not 0 <= value < math.inf:
            raise BadAction(f"{name} must be a finite number >= 0, or None for no such arm")


def check_example(example: GateExample) -> None:
    """Raise BadOutcome for a label that is none; `GateInputReader` checks what was seen."""
    for name in ("first_ok", "second_ok", "strong_ok"):
        _within(name, getattr(example, name), 1.0)
    _within("strong_cost_ratio", example.strong_cost_ratio, math.inf)
    if not 0 < example.weight <= 1:
        raise BadOutcome("weight of a lesson must be in (0, 1]; leave out what weighs nothing")


def _within(name: str, value: float | None, most: float) -> None:
    if value is not None and not (0 <= value <= most and value < math.inf):
        raise BadOutcome(f"{name} of a lesson must be a finite number in [0, {most:g}], or None")


class GateInputReader:
    """Lays out what was seen: contexts of one version and shape, signals of one version and number.

    signals_version: "" until the first signals are learned from.
    """

    def __init__(
        self, shape: ContextShape, context_version: str, signals: int, signals_version: str
    ) -> None:
        self.context_version = context_version
        self.signals_version = signals_version
        self._shape = shape
        self._signals = signals
        self._none = np.zeros(signals)

    @property
    def width(self) -> int:
        return self._shape.clusters + self._shape.features + 2 * self._signals

    def blank(self) -> Vector:
        """Return a row of zeros, to probe with."""
        return np.zeros(self.width)

    def read(self, seen: GateInput) -> Vector:
        """Return [membership, features, signals, second's signals or zeros], (width,).

        Raises VersionMismatch or BadContext.
        """
        self.check_versions(seen)
        self._check_shapes(seen)
        if seen.agreement is not None and not 0 <= seen.agreement <= 1:
            raise BadContext("agreement must be a number in [0, 1], or None where unknown")
        context, second = seen.context, self._none if seen.second is None else seen.second
        row = np.concatenate([context.membership, context.features, seen.signals, second])
        if not np.abs(row).max() <= MOST:  # put so that NaN is refused as well
            raise BadContext(
                f"context and signals must hold finite numbers of a size of at most {MOST:g}; "
                "build the context with ContextMap.build"
            )
        return row

    def adopt(self, seen: GateInput) -> None:
        """Hold to the version of these signals from now on."""
        self.signals_version = self.signals_version or seen.version

    def check_versions(self, seen: GateInput) -> None:
        """Raise VersionMismatch for another context map or other signals."""
        if seen.context.version != self.context_version:
            raise VersionMismatch(
                f"the context was made by context map {seen.context.version[:40]!r}, this gate "
                f"learns from {self.context_version!r}; build contexts with that map, or start a "
                "new gate"
            )
        if self.signals_version and seen.version != self.signals_version:
            raise VersionMismatch(
                f"the signals have version {seen.version[:40]!r}, this gate learns from "
                f"{self.signals_version!r}; start a new gate"
            )

    def _check_shapes(self, seen: GateInput) -> None:
        shape, context = self._shape, seen.context
        given = (context.membership.shape, context.features.shape)
        if given != ((shape.clusters,), (shape.features,)):
            raise BadContext(
                f"the context has shapes {given}, this gate wants "
                f"{(shape.clusters, shape.features)}; build it with ContextMap.build"
            )
        for signals in (seen.signals, seen.second):
            if signals is not None and signals.shape != (self._signals,):
                raise BadContext(
                    f"the signals have shape {signals.shape}, this gate wants ({self._signals},)"
                )
