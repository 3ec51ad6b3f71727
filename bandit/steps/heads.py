"""What the learned gate predicts: four probabilities and a cost, from one row of numbers."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.steps.logistic import Group, LogisticHead, Rows, moderated, sigmoid
from bandit.steps.rows import RowBuffer
from bandit.steps.scales import Scales
from bandit.steps.settings import GateSettings
from bandit.steps.values import Beliefs
from bandit.types import Vector

Array = NDArray[np.float64]

UNKNOWN: Final = -1.0
FIRST, SECOND, STRONG, AGREE, WEIGHT = range(5)
COLUMNS: Final = 5
_NAMES: Final = ("first", "second", "strong", "agree")
_OFFSET: Final = 1.0
"""Of every logit: three answers in four are good before anything is known."""
_TUNE: Final = tuple(round(24 * 1.25**step) for step in range(40))
_ROUNDS: Final = 4
_EARLY: Final = 64
_LATE: Final = 512


def is_due(before: int, now: int) -> bool:
    """Whether enough came since `before` lessons to solve again: each, then every 8th, 32nd."""
    every = 1 if now <= _EARLY else 8 if now <= _LATE else 32
    return before // every < now // every


def tuning_rounds(before: int, now: int) -> int:
    """How often to choose variances anew; more where many marks were passed at once."""
    return _ROUNDS * min(3, sum(before < mark <= now for mark in _TUNE))


class Heads:
    """Logistic heads of P(first ok), P(second ok), P(strong ok) and P(they agree).

    A row x: [1, membership, features, signals, agreement - 0.5]; P(they agree) is read without
    the last. told: [first, second, strong, agree, weight], `UNKNOWN` where nothing is.
    """

    def __init__(self, settings: GateSettings) -> None:
        shape = settings.shape
        groups = (
            Group(1, 4.0, np.inf),
            Group(shape.clusters, 0.1, 4.0),
            Group(shape.features, 0.02, 4.0),
            Group(settings.signals, 0.04, 4.0),
        )
        said = Group(1, 9.0, np.inf)
        self._plain = 1 + shape.clusters
        self._width = self._plain + shape.features + settings.signals
        self._judges = [LogisticHead((*groups, said), _OFFSET) for _ in range(3)]
        self._agree = LogisticHead(groups, _OFFSET)
        self._scales = Scales(shape.features + settings.signals)
        self._rows = RowBuffer(self._width + 1, COLUMNS, settings.memory)

    @property
    def heads(self) -> list[LogisticHead]:
        return [*self._judges, self._agree]

    def learn(self, x: Array, told: Array, *, due: bool, rounds: int) -> None:
        """x: (k, width). told: (k, columns)."""
        for row in x:
            self._scales.add(row[self._plain : self._width])
        gone, of_them = self._rows.add(x, told)
        for column, head in enumerate(self.heads):
            head.absorb(self._rows_of(gone, of_them, column))
        if due or rounds:
            scales = self._all_scales()
            for column, head in enumerate(self.heads):
                rows = self._rows_of(self._rows.x, self._rows.told, column)
                head.fit(rows, scales[: len(head.mode)], rounds)

    def p_agree(self, x: Vector) -> float:
        """x: without its last number."""
        head = self._agree
        z, variance = head.offset + x @ head.mode, x @ head.covariance @ x
        return float(moderated(np.array([z]), np.array([variance]))[0])

    def chances(self, x: Vector) -> Vector:
        """P(good) of the first, the second and the strong answer, (3,); x: a whole row."""
        z = np.array([head.offset + x @ head.mode for head in self._judges])
        variance = np.array([x @ head.covariance @ x for head in self._judges])
        return moderated(z, variance)

    def beliefs(self, x: Vector, said: Vector, normal: Array, scale: float) -> Beliefs:
        """Means, and a draw for each of `normal`.

        x: without its last number. said: (n,), the last number in each case. normal: (draws, 4, n)
        standard normal numbers. scale: factor on the standard deviations.
        """
        logits, roots = self._judged(x, said)
        drawn = logits + scale * (roots @ normal[:, :3, :, None])[..., 0]
        means = moderated(logits, (roots**2).sum(axis=2))
        judged = sigmoid(np.concatenate([np.zeros((1, *logits.shape)), drawn]))
        judged[0] = means
        first, second, strong = judged.transpose(1, 0, 2)
        return Beliefs(first, second, strong, self._agreed(x, normal[:, 3, 0], scale))

    def _judged(self, x: Vector, said: Vector) -> tuple[Array, Array]:
        """Logits, (3, n), and roots of their covariances, (3, n, n)."""
        logits, roots = [], []
        case = np.column_stack([np.tile(x, (len(said), 1)), said])
        for head in self._judges:
            logits.append(head.offset + case @ head.mode)
            roots.append(_root(np.asarray(case @ head.covariance @ case.T, dtype=np.float64)))
        return np.array(logits), np.array(roots)

    def _agreed(self, x: Vector, normal: Vector, scale: float) -> Vector:
        head = self._agree
        z, variance = float(head.offset + x @ head.mode), float(x @ head.covariance @ x)
        mean = moderated(np.array([z]), np.array([variance]))
        return np.concatenate([mean, sigmoid(z + scale * np.sqrt(max(variance, 0.0)) * normal)])

    def _rows_of(self, x: Array, told: Array, column: int) -> Rows:
        known = told[:, column] != UNKNOWN
        width = self._width if column == AGREE else self._width + 1
        return Rows(x[known, :width], told[known, column], told[known, WEIGHT])

    def _all_scales(self) -> Vector:
        scales = np.ones(self._width + 1)
        scales[self._plain : self._width] = self._scales.values
        return scales

    def arrays(self) -> dict[str, NDArray[Any]]:
        parts = self._parts().items()
        return {f"{n}.{key}": a for n, part in parts for key, a in part.arrays().items()}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Raises ValueError or KeyError when the arrays are not what `arrays` gave."""
        for name, part in self._parts().items():
            cut = len(name) + 1
            part.restore({k[cut:]: a for k, a in arrays.items() if k.startswith(f"{name}.")})

    def _parts(self) -> dict[str, LogisticHead | Scales | RowBuffer]:
        heads = dict(zip(_NAMES, self.heads, strict=True))
        return {**heads, "scales": self._scales, "rows": self._rows}


def _root(covariance: Array) -> Array:
    """Lower Cholesky root of an (n, n) covariance, n <= 2, that rounding may have bent."""
    root = np.zeros_like(covariance, dtype=np.float64)
    root[0, 0] = np.sqrt(max(covariance[0, 0], 1e-12))
    if len(root) > 1:
        root[1, 0] = covariance[1, 0] / root[0, 0]
        root[1, 1] = np.sqrt(max(covariance[1, 1] - root[1, 0] ** 2, 0.0))
    return root
