"""The skeleton of every gate: checks, running shares, the draw, the manifest."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from bandit.choice import check_weights
from bandit.errors import BadAction, BadContext, BadOutcome, VersionMismatch
from bandit.gates.types import Chosen, GateExample, GateInput, GateSettings, Prices, Step
from bandit.gates.values import Beliefs, LabelTally, StepTerms, after, before
from bandit.settings import ContextShape
from bandit.snapshots.codec import Snapshot
from bandit.snapshots.learner import SnapshotLearner
from bandit.snapshots.parts import SnapshotPart
from bandit.types import Vector, Weights

MOST: Final = 100.0
"""Largest size of a number in a context or among the signals that were made as they should be."""


def check_prices(prices: Prices) -> None:
    """Raise BadAction for a price that is none."""
    for name, value in (("second_usd", prices.second_usd), ("strong_usd", prices.strong_usd)):
        if value is not None and not 0 <= value < math.inf:
            raise BadAction(f"{name} must be a finite number >= 0, or None for no such arm")
    if prices.strong_usd is not None and not 0 <= prices.strong_input_usd <= prices.strong_usd:
        raise BadAction("strong_input_usd must be a part of strong_usd, >= 0")


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


class SnapshotGate(SnapshotLearner):
    """Keeps running shares; a gate says what it believes and which shares of the steps it wants."""

    def __init__(
        self, name: str, settings: GateSettings, context_version: str, rng: Generator
    ) -> None:
        super().__init__(name, rng)
        self._settings = settings
        self._reader = GateInputReader(
            settings.shape, context_version, settings.signals, settings.signals_version
        )
        self._tally = LabelTally()

    def choose(self, seen: GateInput, prices: Prices, weights: Weights) -> Chosen:
        """Choose a step. Raises BadContext, BadAction, BadWeights or VersionMismatch."""
        check_prices(prices)
        check_weights(weights)
        row = self._reader.read(seen)
        terms = self._terms(row, seen, prices, weights)
        beliefs = self._beliefs(row, seen)
        values = self._values(beliefs, seen, terms)
        shares = self._shares(seen, values)
        step = self._drawn(shares)
        return Chosen(
            step=step,
            propensity=shares[step],
            probabilities=shares,
            score=_score(beliefs, seen),
            values={step: float(v[0]) for step, v in values.items()},
        )

    def learn(self, examples: Sequence[GateExample]) -> None:
        """Learn; nothing is learned when one example is bad.

        Raises:
            BadContext, BadOutcome, VersionMismatch.

        """
        rows = []
        for example in examples:
            check_example(example)
            rows.append(self._reader.read(example.seen))
        self._check_versions(examples)
        for example, row in zip(examples, rows, strict=True):
            self._reader.adopt(example.seen)
            self._tally.add(example, agree=self._agrees(example.seen))
            self._learned += 1
            self._learn(row, example)

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the state. Raises ValueError, KeyError or TypeError for another learner's."""
        super().restore(snapshot)
        self._reader.signals_version = str(snapshot.meta["signals_version"])

    def _manifest(self) -> dict[str, Any]:
        return {
            "context_version": self._reader.context_version,
            "signals_version": self._reader.signals_version,
            **structure(self._settings),
        }

    def _parts(self) -> Mapping[str, SnapshotPart]:
        return {"tally": self._tally}

    def _slot_count(self) -> int:
        return 1

    def _agrees(self, seen: GateInput) -> bool | None:
        """Return whether the answers agree, None where no second opinion was compared."""
        if seen.agreement is None:
            return None
        return seen.agreement >= self._settings.agree_above

    def _terms(self, row: Vector, seen: GateInput, prices: Prices, weights: Weights) -> StepTerms:
        rate = weights.cost / self._settings.units.cost_usd
        ask, strong = prices.second_usd, prices.strong_usd
        escalate = None
        if strong is not None:
            known = prices.strong_input_usd
            escalate = rate * known + rate * (strong - known) * self._cost_ratio(row)
        return StepTerms(
            quality=weights.quality,
            ask=None if ask is None or seen.asked else rate * ask,
            escalate=escalate,
        )

    def _cost_ratio(self, row: Vector) -> float:  # noqa: ARG002 - the plain share
        """Return the strong arm's real cost over the guessed part of its price."""
        return self._tally.cost_ratio

    def _beliefs(self, row: Vector, seen: GateInput) -> Beliefs:  # noqa: ARG002 - the plain shares
        """Return means in the first row, and draws from what is believed in more rows, if any."""
        agrees = self._agrees(seen)
        if seen.asked and agrees is None:
            agrees = False  # an opinion that could not be compared confirms nothing
        return self._tally.beliefs(agree=agrees)

    @staticmethod
    def _values(beliefs: Beliefs, seen: GateInput, terms: StepTerms) -> dict[Step, Vector]:
        if not seen.asked:
            return before(beliefs, terms)
        return after(beliefs, terms, same=seen.agreement == 1.0)

    @abstractmethod
    def _shares(self, seen: GateInput, values: Mapping[Step, Vector]) -> dict[Step, float]:
        """Return probabilities of the eligible steps; values: by eligible step, (draws,)."""

    def _learn(self, row: Vector, example: GateExample) -> None:
        """Learn what the running shares, which hold the example already, do not tell."""

    def _drawn(self, shares: Mapping[Step, float]) -> Step:
        point = self._rng.random()
        for step, share in shares.items():
            point -= share
            if point < 0:
                return step
        return max(shares, key=lambda step: shares[step])

    def _check_versions(self, examples: Sequence[GateExample]) -> None:
        """Raise VersionMismatch unless the first signals ever learned from have one version."""
        if examples and not self._reader.signals_version:
            probe = GateInputReader(self._settings.shape, self._reader.context_version, 0, "")
            probe.adopt(examples[0].seen)
            for example in examples:
                probe.check_versions(example.seen)


def structure(settings: GateSettings) -> dict[str, Any]:
    """Return the settings that decide what is stored."""
    shape = settings.shape
    return {
        "shape": [shape.clusters, shape.axes, shape.features],
        "signals": settings.signals,
    }


def _score(beliefs: Beliefs, seen: GateInput) -> float:
    """Return P(good) of the answer that would be accepted."""
    if seen.asked:
        return float(max(beliefs.first[0, 0], beliefs.second[0, 0]))
    agree, (same, other) = beliefs.agree[0], beliefs.first[0]
    return float(agree * same + (1 - agree) * other)
