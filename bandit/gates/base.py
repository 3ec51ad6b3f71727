"""What every gate keeps in the same way: checks, running shares, the draw, snapshots."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.gates.checks import Reader, check_lesson, check_prices
from bandit.gates.settings import GateSettings
from bandit.gates.tally import Tally
from bandit.gates.types import Chosen, GateExample, GateInput, Prices, Step
from bandit.gates.values import Beliefs, Terms, after, before
from bandit.settings import check_weights
from bandit.snapshots.codec import Snapshot, pack
from bandit.snapshots.random_state import check_generator, state_of
from bandit.types import Vector, Weights


class SnapshotGate(ABC):
    """Keeps the books; a gate says what it believes and which shares of the steps it wants."""

    def __init__(
        self, name: str, settings: GateSettings, context_version: str, rng: np.random.Generator
    ) -> None:
        check_generator(rng)
        self._name = name
        self._settings = settings
        self._rng = rng
        self._reader = Reader(
            settings.shape, context_version, settings.signals, settings.signals_version
        )
        self._tally = Tally()
        self._learned = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def learned(self) -> int:
        return self._learned

    def choose(self, seen: GateInput, prices: Prices, weights: Weights) -> Chosen:
        """Raises BadContext, BadAction, BadWeights or VersionMismatch."""
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

    def learn(self, lessons: Sequence[GateExample]) -> None:
        """Nothing is learned when one lesson is bad.

        Raises:
            BadContext, BadOutcome, VersionMismatch.

        """
        rows = []
        for lesson in lessons:
            check_lesson(lesson)
            rows.append(self._reader.read(lesson.seen))
        self._check_versions(lessons)
        for lesson, row in zip(lessons, rows, strict=True):
            self._reader.adopt(lesson.seen)
            self._tally.add(lesson, agree=self._agrees(lesson.seen))
            self._learned += 1
            self._learn(row, lesson)

    def save(self) -> bytes:
        meta = {
            "context_version": self._reader.context_version,
            "signals_version": self._reader.signals_version,
            **structure(self._settings),
            "learned": self._learned,
            "rng": state_of(self._rng),
        }
        return pack(Snapshot(self._name, meta, self._arrays()))

    def restore(self, snapshot: Snapshot) -> None:
        """Raises ValueError, KeyError or TypeError when the snapshot does not fit."""
        self._learned = int(snapshot.meta["learned"])
        self._reader.signals_version = str(snapshot.meta["signals_version"])
        self._tally.restore(snapshot.part("tally"))

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {f"tally.{name}": array for name, array in self._tally.arrays().items()}

    def _agrees(self, seen: GateInput) -> bool | None:
        """None where no second opinion was compared."""
        if seen.agreement is None:
            return None
        return seen.agreement >= self._settings.agree_above

    def _terms(self, row: Vector, seen: GateInput, prices: Prices, weights: Weights) -> Terms:
        rate = weights.cost / self._settings.units.cost_usd
        ask, strong = prices.second_usd, prices.strong_usd
        ratio = 0.0 if strong is None else self._cost_ratio(row)
        return Terms(
            quality=weights.quality,
            ask=None if ask is None or seen.asked else rate * ask,
            escalate=None if strong is None else rate * strong * ratio,
        )

    def _cost_ratio(self, row: Vector) -> float:  # noqa: ARG002 - the plain share
        """Of the strong arm's real cost to its price prior."""
        return self._tally.cost_ratio

    def _beliefs(self, row: Vector, seen: GateInput) -> Beliefs:  # noqa: ARG002 - the plain shares
        """The first row holds means; more rows, if any, are draws from what is believed."""
        agrees = self._agrees(seen)
        if seen.asked and agrees is None:
            agrees = False  # an opinion that could not be compared confirms nothing
        return self._tally.beliefs(agree=agrees)

    @staticmethod
    def _values(beliefs: Beliefs, seen: GateInput, terms: Terms) -> dict[Step, Vector]:
        if not seen.asked:
            return before(beliefs, terms)
        return after(beliefs, terms, same=seen.agreement == 1.0)

    @abstractmethod
    def _shares(self, seen: GateInput, values: Mapping[Step, Vector]) -> dict[Step, float]:
        """Probability of every eligible step, summing to 1; values: by eligible step, (draws,)."""

    def _learn(self, row: Vector, lesson: GateExample) -> None:  # noqa: B027 - may stay so
        """What a gate learns besides the running shares, which hold the lesson already."""

    def _drawn(self, shares: Mapping[Step, float]) -> Step:
        point = self._rng.random()
        for step, share in shares.items():
            point -= share
            if point < 0:
                return step
        return max(shares, key=lambda step: shares[step])

    def _check_versions(self, lessons: Sequence[GateExample]) -> None:
        """The first signals ever learned from must all have one version."""
        if lessons and not self._reader.signals_version:
            probe = Reader(self._settings.shape, self._reader.context_version, 0, "")
            probe.adopt(lessons[0].seen)
            for lesson in lessons:
                probe.check_versions(lesson.seen)


def structure(settings: GateSettings) -> dict[str, Any]:
    """The settings that decide what is stored."""
    shape = settings.shape
    return {
        "shape": [shape.clusters, shape.axes, shape.features],
        "signals": settings.signals,
    }


def _score(beliefs: Beliefs, seen: GateInput) -> float:
    """P(good) of what would be accepted."""
    if seen.asked:
        return float(max(beliefs.first[0, 0], beliefs.second[0, 0]))
    agree, (same, other) = beliefs.agree[0], beliefs.first[0]
    return float(agree * same + (1 - agree) * other)
