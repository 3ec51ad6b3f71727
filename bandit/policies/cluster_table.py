"""One table of outcomes: the prompt's nearest semantic cluster against the action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bandit.context.view import ContextView
from bandit.models.running_means import COST_RATIO, QUALITY, cost_ratio
from bandit.policies.base import ExpectedMeans
from bandit.policies.sampling import SamplingPolicy, shrunk_variance
from bandit.policies.snapshot_policy import PolicyQuery
from bandit.settings import PolicySettings, bounded, check_bounds
from bandit.snapshots.parts import Arrays, SlotPart, SnapshotPart
from bandit.types import Outcome, Vector

NAME: Final = "cluster-table"


@dataclass(frozen=True, slots=True)
class ClusterTableOptions:
    """shrink: made-up outcomes at the action's overall mean in every cluster."""

    shrink: float = bounded(20.0, 1e-3, 1e6)

    def __post_init__(self) -> None:
        check_bounds(self, "cluster_table")


class ClusterSums(SlotPart):
    """Sums and summed weights of one number, by slot and cluster."""

    stored = ("sums", "counts")

    def __init__(self, clusters: int) -> None:
        self._sums: NDArray[np.float64] = np.zeros((0, clusters))
        self._counts: NDArray[np.float64] = np.zeros((0, clusters))

    def add(self, slot: int, cluster: int, value: float, weight: float) -> None:
        self._sums[slot, cluster] += weight * value
        self._counts[slot, cluster] += weight

    def look_up(self, rows: NDArray[np.intp], cluster: int) -> tuple[Vector, Vector]:
        """Return sums and counts, each (k,); 0 for rows of -1."""
        sums = np.append(self._sums[:, cluster], 0.0)[rows]
        return sums, np.append(self._counts[:, cluster], 0.0)[rows]

    def restore(self, arrays: Arrays, slots: int) -> None:
        super().restore(arrays, slots)
        if slots and self._counts.min() < 0:
            raise ValueError("a count is negative")


class ClusterTablePolicy(SamplingPolicy):
    """Quality and cost of the cluster's outcomes, shrunk towards the action's overall means."""

    def __init__(
        self, name: str, settings: PolicySettings, context_version: str, rng: Generator
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        self._shrink = settings.options_of(ClusterTableOptions).shrink
        self._quality = ClusterSums(settings.shape.clusters)
        self._ratio = ClusterSums(settings.shape.clusters)

    def _expect(self, query: PolicyQuery) -> ExpectedMeans:
        overall = self._means.means(query.rows)
        quality = self._shrunk(self._quality, query, overall[:, QUALITY])
        ratio = self._shrunk(self._ratio, query, overall[:, COST_RATIO])
        rest = super()._expect(query)
        return ExpectedMeans(quality, query.costs_usd(ratio), rest.latency_ms, rest.failure)

    def _variance(self, query: PolicyQuery) -> Vector:
        counts = self._quality.look_up(query.rows, _nearest(query.view))[1]
        overall = self._means.counts(query.rows)[:, QUALITY]
        return self._noise.value * shrunk_variance(counts, self._shrink, overall)

    def _shrunk(self, table: ClusterSums, query: PolicyQuery, overall: Vector) -> Vector:
        sums, counts = table.look_up(query.rows, _nearest(query.view))
        shrunk: Vector = (sums + self._shrink * overall) / (counts + self._shrink)
        return shrunk

    def _parts(self) -> Mapping[str, SnapshotPart]:
        return {**super()._parts(), "quality": self._quality, "ratio": self._ratio}

    def _learn_more(self, slot: int, outcome: Outcome, view: ContextView) -> None:
        super()._learn_more(slot, outcome, view)
        cluster, weight = _nearest(view), outcome.weight
        if outcome.quality is not None:
            self._quality.add(slot, cluster, outcome.quality, weight)
        ratio = cost_ratio(outcome)
        if ratio is not None:
            self._ratio.add(slot, cluster, ratio, weight)


def _nearest(view: ContextView) -> int:
    return int(view.membership.argmax())
