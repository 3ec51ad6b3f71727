"""One table of outcomes: the prompt's nearest semantic cluster against the action."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.context.view import View
from bandit.models.running_means import COST_RATIO, QUALITY, cost_ratio
from bandit.models.sufficient_statistics import shaped
from bandit.policies.base import Asked, Expected, Part
from bandit.policies.sampling import SamplingPolicy, shrunk_variance
from bandit.settings import PolicySettings
from bandit.types import Outcome, Vector

NAME: Final = "cluster-table"


class Table:
    """Sums and summed weights of one number, by slot and cluster."""

    def __init__(self, clusters: int) -> None:
        self._sums = np.zeros((0, clusters))
        self._counts = np.zeros((0, clusters))

    def grow(self, slots: int) -> None:
        missing = slots - len(self._sums)
        if missing > 0:
            self._sums = np.pad(self._sums, ((0, missing), (0, 0)))
            self._counts = np.pad(self._counts, ((0, missing), (0, 0)))

    def add(self, slot: int, cluster: int, value: float, weight: float) -> None:
        self._sums[slot, cluster] += weight * value
        self._counts[slot, cluster] += weight

    def look_up(self, rows: NDArray[np.intp], cluster: int) -> tuple[Vector, Vector]:
        """Sums and counts, each (k,); 0 for rows of -1."""
        sums = np.append(self._sums[:, cluster], 0.0)[rows]
        return sums, np.append(self._counts[:, cluster], 0.0)[rows]

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"sums": self._sums, "counts": self._counts}

    def restore(self, arrays: dict[str, NDArray[Any]], slots: int) -> None:
        shape = (slots, self._sums.shape[1])
        self._sums = shaped(arrays["sums"], shape).copy()
        self._counts = shaped(arrays["counts"], shape).copy()
        if slots and self._counts.min() < 0:
            raise ValueError("a count is negative")


class ClusterTablePolicy(SamplingPolicy):
    """Quality and cost of the cluster's outcomes, shrunk towards the action's overall means."""

    def __init__(
        self,
        name: str,
        settings: PolicySettings,
        context_version: str,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        self._quality = Table(settings.shape.clusters)
        self._ratio = Table(settings.shape.clusters)

    def _expect(self, asked: Asked) -> Expected:
        overall = self._means.means(asked.rows)
        quality = self._shrunk(self._quality, asked, overall[:, QUALITY])
        ratio = self._shrunk(self._ratio, asked, overall[:, COST_RATIO])
        rest = super()._expect(asked)
        return Expected(quality, ratio * asked.prices, rest.latency_ms, rest.failure)

    def _variance(self, asked: Asked, expected: Expected) -> Vector:  # noqa: ARG002 - not of the mean
        counts = self._quality.look_up(asked.rows, _nearest(asked.view))[1]
        overall = self._means.counts(asked.rows)[:, QUALITY]
        shrink = self._settings.options.cluster_table.shrink
        return self._noise.value * shrunk_variance(counts, shrink, overall)

    def _shrunk(self, table: Table, asked: Asked, overall: Vector) -> Vector:
        shrink = self._settings.options.cluster_table.shrink
        sums, counts = table.look_up(asked.rows, _nearest(asked.view))
        shrunk: Vector = (sums + shrink * overall) / (counts + shrink)
        return shrunk

    def _parts(self) -> dict[str, Part]:
        return super()._parts() | {"quality": self._quality, "ratio": self._ratio}

    def _learn(self, slot: int, outcome: Outcome, view: View) -> None:
        super()._learn(slot, outcome, view)
        cluster, weight = _nearest(view), outcome.weight
        if outcome.quality is not None:
            self._quality.add(slot, cluster, outcome.quality, weight)
        ratio = cost_ratio(outcome)
        if ratio is not None:
            self._ratio.add(slot, cluster, ratio, weight)


def _nearest(view: View) -> int:
    return int(view.membership.argmax())
