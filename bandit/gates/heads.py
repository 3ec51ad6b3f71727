"""Predictions of the learned gate: four probabilities from one row of numbers."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.gates.types import GateSettings
from bandit.gates.values import Beliefs
from bandit.models.logistic import LabelledRows, LogisticHead, WeightGroup, moderated, sigmoid
from bandit.models.ring_buffer import RingBuffer
from bandit.snapshots.parts import ArrayPart, Arrays, SnapshotPart, gathered, restore_parts
from bandit.types import Vector

Array = NDArray[np.float64]

UNKNOWN: Final = -1.0
FIRST, SECOND, STRONG, AGREE, WEIGHT = range(5)
COLUMNS: Final = 5
_NAMES: Final = ("first", "second", "strong", "agree")
_OFFSET: Final = 1.0
"""Offset of every logit: three answers in four are good before anything is known."""
_TUNE: Final = tuple(round(24 * 1.25**step) for step in range(40))
_ROUNDS: Final = 4
_EARLY: Final = 64
_LATE: Final = 512
_SCALE_START: Final = 0.3
_SCALE_STRENGTH: Final = 10.0
LEAST_SCALE: Final = 0.1
"""Least scale: a column that hardly ever varied says little when it does."""


def is_due(before: int, now: int) -> bool:
    """Return whether to solve again since `before` examples: at each, then every 8th, 32nd."""
    every = 1 if now <= _EARLY else 8 if now <= _LATE else 32
    return before // every < now // every


def tuning_rounds(before: int, now: int) -> int:
    """Return how often to choose variances anew; more where many marks were passed at once."""
    return _ROUNDS * min(3, bisect_right(_TUNE, now) - bisect_right(_TUNE, before))


class ColumnScales(ArrayPart):
    """Welford's running standard deviations of columns, so that a prior means the same for each.

    Started from a few made-up rows.
    """

    stored = ("count", "mean", "squares")

    def __init__(self, width: int) -> None:
        self._count = np.zeros(1)
        self._mean = np.zeros(width)
        self._squares = np.zeros(width)

    @property
    def values(self) -> Vector:
        made_up = _SCALE_STRENGTH * _SCALE_START**2
        scales: Vector = np.sqrt((self._squares + made_up) / (self._count[0] + _SCALE_STRENGTH))
        return np.maximum(scales, LEAST_SCALE)

    def add(self, x: Vector) -> None:
        self._count += 1
        change = x - self._mean
        self._mean += change / self._count[0]
        self._squares += change * (x - self._mean)

    def restore(self, arrays: Arrays, slots: int) -> None:
        super().restore(arrays, slots)
        if min(self._count[0], *self._squares) < 0:
            raise ValueError("a count or a sum of squares is negative")


class GateHeads:
    """Logistic heads of P(first ok), P(second ok), P(strong ok) and P(they agree).

    A row x: [1, membership, features, signals, agreement - 0.5]; P(they agree) is read without
    the last. labels: [first, second, strong, agree, weight], `UNKNOWN` where nothing is.
    """

    def __init__(self, settings: GateSettings) -> None:
        shape = settings.shape
        groups = (
            WeightGroup(1, 4.0, np.inf),
            WeightGroup(shape.clusters, 0.1, 4.0),
            WeightGroup(shape.features, 0.02, 4.0),
            WeightGroup(settings.signals, 0.04, 4.0),
        )
        said = WeightGroup(1, 9.0, np.inf)
        self._plain = 1 + shape.clusters
        self._width = self._plain + shape.features + settings.signals
        self._judges = [LogisticHead((*groups, said), _OFFSET) for _ in range(3)]
        self._agree = LogisticHead(groups, _OFFSET)
        self._scales = ColumnScales(shape.features + settings.signals)
        self._rows = RingBuffer(self._width + 1, COLUMNS, settings.memory)
        self._stack()

    @property
    def heads(self) -> list[LogisticHead]:
        return [*self._judges, self._agree]

    def learn(self, x: Array, labels: Array, *, due: bool, rounds: int) -> None:
        """Learn rows. x: (k, width). labels: (k, columns)."""
        for row in x:
            self._scales.add(row[self._plain : self._width])
        gone, of_them = self._rows.extend(x, labels)
        for column, head in enumerate(self.heads):
            head.absorb(self._rows_of(gone, of_them, column))
        if due or rounds:
            scales, (kept, labels) = self._all_scales(), self._rows.oldest_first()
            for column, head in enumerate(self.heads):
                rows = self._rows_of(kept, labels, column)
                head.fit(rows, scales[: len(head.mode)], rounds)
            self._stack()

    def p_agree(self, x: Vector) -> float:
        """Return P(they agree). x: without its last number."""
        head = self._agree
        z, variance = head.offset + x @ head.mode, x @ head.covariance @ x
        return float(moderated(np.array([z]), np.array([variance]))[0])

    def chances(self, x: Vector) -> Vector:
        """Return P(good) of the first, second and strong answer, (3,); x: a whole row."""
        z = np.array([head.offset + x @ head.mode for head in self._judges])
        variance = np.array([x @ head.covariance @ x for head in self._judges])
        return moderated(z, variance)

    def beliefs(self, x: Vector, said: Vector, normal: Array, scale: float) -> Beliefs:
        """Return means, and a draw for each of `normal`.

        x: without its last number. said: (n,), the last number in each case; n <= 2.
        normal: (draws, 4, n) standard normal numbers. scale: factor on the standard deviations.
        """
        z = _OFFSET + self._modes[:, :-1] @ x
        z = z[:, None] + self._modes[:, -1:] * said
        roots, variances = _roots(self._reached(x), said)
        logits = np.empty((len(normal) + 1, *z.shape))
        logits[0] = z / np.sqrt(1 + np.pi / 8 * variances)
        logits[1:] = z + scale * roots[:, :, 0] * normal[:, :, :1]
        logits[1:, :, -1] += scale * roots[:, -1, 1] * normal[:, :, -1]
        p = sigmoid(logits)
        return Beliefs(p[:, FIRST], p[:, SECOND], p[:, STRONG], p[:, AGREE, 0])

    def _reached(self, x: Vector) -> Array:
        """Return x'Vx, x'v and V's last entry by head, (4, 3); v: V's last column less that."""
        short = x.astype(np.float32)
        seen = self._covariances[:, :, :-1] @ short
        inner, cross = seen[:, :-1] @ short, seen[:, -1]
        return np.stack([inner, cross, self._covariances[:, -1, -1]], axis=1).astype(np.float64)

    def _stack(self) -> None:
        """Put all heads side by side; the last number says nothing of whether they agree."""
        width = self._width + 1
        self._modes = np.zeros((4, width))
        self._covariances: NDArray[np.float32] = np.zeros((4, width, width), np.float32)
        for index, head in enumerate(self.heads):
            size = len(head.mode)
            self._modes[index, :size] = head.mode
            self._covariances[index, :size, :size] = head.covariance

    def _rows_of(self, x: Array, labels: Array, column: int) -> LabelledRows:
        known = labels[:, column] != UNKNOWN
        width = self._width if column == AGREE else self._width + 1
        return LabelledRows(x[known, :width], labels[known, column], labels[known, WEIGHT])

    def _all_scales(self) -> Vector:
        scales = np.ones(self._width + 1)
        scales[self._plain : self._width] = self._scales.values
        return scales

    def grow(self, slots: int) -> None:
        """Keep one model for all slots."""

    def arrays(self) -> Arrays:
        return gathered(self._parts())

    def restore(self, arrays: Arrays, slots: int) -> None:
        """Restore what `arrays` gave. Raises ValueError or KeyError for other arrays."""
        restore_parts(self._parts(), arrays, slots)
        self._stack()

    def _parts(self) -> dict[str, SnapshotPart]:
        heads = dict(zip(_NAMES, self.heads, strict=True))
        return {**heads, "scales": self._scales, "rows": self._rows}


def _roots(reached: Array, said: Vector) -> tuple[Array, Array]:
    """Return Cholesky roots, (heads, n, 2), and variances, (heads, n), of logits in n cases.

    reached: (heads, 3), x'Vx, x'v and the last variance: cases differ in the last number only.
    """
    inner, cross, last = reached.T[:, :, None]
    variances = np.maximum(inner + 2 * cross * said + last * said * said, 1e-12)
    roots = np.zeros((len(reached), len(said), 2))
    roots[:, 0, 0] = np.sqrt(variances[:, 0])
    if len(said) > 1:
        shared = inner[:, 0] + cross[:, 0] * said.sum() + last[:, 0] * said[0] * said[1]
        roots[:, 1, 0] = shared / roots[:, 0, 0]
        roots[:, 1, 1] = np.sqrt(np.maximum(variances[:, 1] - roots[:, 1, 0] ** 2, 0.0))
    return roots, variances
