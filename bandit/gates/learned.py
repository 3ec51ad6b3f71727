"""The default gate: logistic heads, the value of one more answer, posterior sampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.random import Generator

from bandit.adaptive.outcome_head import LOG_COST, OutcomeHead, RatioHead
from bandit.choice import count_best, with_floor
from bandit.context.view import ContextView
from bandit.gates.base import SnapshotGate
from bandit.gates.heads import UNKNOWN, GateHeads, is_due, tuning_rounds
from bandit.gates.types import GateExample, GateInput, GateSettings, Step
from bandit.gates.values import AGREE, DIFFER, Beliefs, plain_step
from bandit.snapshots.codec import Snapshot
from bandit.snapshots.parts import Arrays, gathered, shaped
from bandit.types import Vector

NAME: Final = "learned"
NARROW_COUNT: Final = 100.0
_LEAST: Final = 0.01
_MIDDLE: Final = 0.5
_ONE: Final = np.ones(1)
_LEVELS: Final = np.array([[4.0, 4.0], [0.0, 4.0]])
"""Made-up sums and counts of agreement where answers agree, and where they differ."""


class LearnedGate(SnapshotGate):
    """Starts with the plain rule, then takes the step that is worth most in draws of its beliefs.

    The rule is followed where by running shares it is worth more than to accept: at prices at which
    no usual share of bad answers pays for an escalation it would teach little for much. Later draws
    from the posterior, narrowed by `settings.scale`, give every step its probability.
    """

    def __init__(
        self, name: str, settings: GateSettings, context_version: str, rng: Generator
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        self._heads = GateHeads(settings)
        self._cost = RatioHead(OutcomeHead(LOG_COST, self._x(self._reader.blank()).size))
        self._cost.head.regression.grow(1)
        self._levels = _LEVELS.copy()
        self._judged = 0

    def learn(self, examples: Sequence[GateExample]) -> None:
        """Learn; nothing is learned when one example is bad.

        Raises:
            BadContext, BadOutcome, VersionMismatch.

        """
        before = self._learned
        super().learn(examples)
        if not examples:
            return
        x = [self._case(example.seen) for example in examples]
        labels = [self._labels_of(example, row) for example, row in zip(examples, x, strict=True)]
        due, rounds = is_due(before, self._learned), tuning_rounds(before, self._learned)
        self._heads.learn(np.array(x), np.array(labels), due=due, rounds=rounds)

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the state. Raises ValueError, KeyError or TypeError for another learner's."""
        super().restore(snapshot)
        self._heads.restore(snapshot.part("heads"), 1)
        self._cost.restore(snapshot.part("cost"), 1)
        self._levels = shaped(snapshot.arrays["levels"], (2, 2)).copy()
        self._judged = int(shaped(snapshot.arrays["judged"], (1,))[0])
        if self._levels[:, 1].min() <= 0 or self._judged < 0:
            raise ValueError("a count is out of range")

    def _arrays(self) -> Arrays:
        own = {"levels": self._levels, "judged": np.array([self._judged], dtype=np.float64)}
        return {**super()._arrays(), **own, **gathered({"heads": self._heads, "cost": self._cost})}

    def _learn(self, row: Vector, example: GateExample) -> None:
        agrees, agreement = self._agrees(example.seen), example.seen.agreement
        if agrees is not None and agreement is not None and not example.repeated:
            self._levels[AGREE if agrees else DIFFER] += (agreement, 1.0)
        labels = (example.first_ok, example.second_ok, example.strong_ok)
        self._judged += any(label is not None for label in labels)
        if example.strong_cost_ratio is not None:
            ratio = example.strong_cost_ratio
            self._cost.learn(self._view(row), 0, ratio, example.weight)

    def _cost_ratio(self, row: Vector) -> float:
        return float(self._cost.mean(self._view(row), np.zeros(1, dtype=np.intp), np.ones(1))[0])

    def _beliefs(self, row: Vector, seen: GateInput) -> Beliefs:
        if not self._trusts:
            return super()._beliefs(row, seen)
        said = np.array([self._said(seen)]) if seen.asked else self._cases()
        normal = self._rng.standard_normal((self._settings.draws, 4, len(said)))
        return self._heads.beliefs(self._x(row), said, normal, self._scale)

    def _shares(self, seen: GateInput, values: Mapping[Step, Vector]) -> dict[Step, float]:
        steps = list(values)
        if self._trusts:
            drawn = np.stack([values[step][1:] for step in steps], axis=1)
            shares = count_best(drawn)
        else:
            rule = plain_step(values, agrees=self._agrees(seen))
            wanted = max((rule, Step.ACCEPT), key=lambda step: float(values[step][0]))
            shares = np.array([float(step is wanted) for step in steps])
        floored = with_floor(shares.tolist(), [self._settings.floor] * len(steps))
        return dict(zip(steps, floored, strict=True))

    @property
    def _trusts(self) -> bool:
        """Return whether there were examples enough to leave the plain rule."""
        return self._judged >= self._settings.plain_lessons

    @property
    def _scale(self) -> float:
        """Narrow the draws the more was judged: what is left to find out is worth less."""
        narrowed = NARROW_COUNT / (NARROW_COUNT + self._judged)
        return float(self._settings.scale * np.sqrt(narrowed))

    def _x(self, row: Vector) -> Vector:
        """Return [1, membership, features, signals]."""
        return np.concatenate([_ONE, row[: self._reader.width - self._settings.signals]])

    def _view(self, row: Vector) -> ContextView:
        return ContextView(row, self._x(row), self._settings.shape, _unwritten)

    def _cases(self) -> Vector:
        """Return the usual agreement where answers agree, and where they differ; (2,)."""
        usual: Vector = self._levels[:, 0] / self._levels[:, 1] - _MIDDLE
        return usual

    def _said(self, seen: GateInput) -> float:
        """Return the agreement; an opinion that could not be compared confirms nothing."""
        if seen.agreement is None:
            return float(self._cases()[DIFFER])
        return seen.agreement - _MIDDLE

    def _case(self, seen: GateInput) -> Vector:
        """Return a row to learn from; an answer compared with none has the expected agreement."""
        x = self._x(self._reader.read(seen))
        if seen.asked:
            return np.append(x, self._said(seen))
        same, other = self._cases()
        share = self._heads.p_agree(x)
        return np.append(x, share * same + (1 - share) * other)

    def _labels_of(self, example: GateExample, x: Vector) -> list[float]:
        """Return the labels to learn. x: the example's row."""
        first, second = shared_labels(example, self._heads.chances(x))
        agrees = None if example.repeated else self._agrees(example.seen)
        labels = (first, second, example.strong_ok, agrees)
        return [*(UNKNOWN if label is None else float(label) for label in labels), example.weight]


def _unwritten(_: Vector) -> str:
    return ""  # no Vowpal Wabbit reads it


def shared_labels(example: GateExample, chances: Vector) -> tuple[float | None, float | None]:
    """Return labels of the first and the second answer, each from the other's where it has none.

    chances: P(first ok), P(second ok), ... as believed now. Equal answers share their label. At
    most one of two closed answers that differ is right: with label l of the one, the other has
    (1 - l) P(other) / (1 - P(one)), the expectation step of the mixture. To say only that it is
    wrong where the one is right, and nothing where that is wrong, would teach that it is always
    wrong.
    """
    first, second = example.first_ok, example.second_ok
    agreement = example.seen.agreement
    if agreement not in (0.0, 1.0):  # not closed: they may both be right
        return first, second
    same, (p_first, p_second) = agreement == 1.0, chances[:2].tolist()
    if first is None and second is not None:
        return _other(second, p_second, p_first, same=same), second
    if second is None and first is not None:
        return first, _other(first, p_first, p_second, same=same)
    return first, second


def _other(label: float, p_one: float, p_other: float, *, same: bool) -> float:
    if same:
        return label
    return (1 - label) * min(1.0, p_other / max(1 - p_one, _LEAST))
