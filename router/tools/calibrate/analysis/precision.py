"""Precision of a mean over prompts that were picked by cluster, and the prompts it would take.

The mean is the stratified one: clusters weigh by their shares of the file (Cochran, Sampling
Techniques, 1977, ch. 5). The file is itself a sample of the prompts that will come, so that the
shares are estimates too, and the variance is that of two-phase sampling (ch. 12): what differs
within clusters, over the prompts measured, and what differs between them, over those of the file.
Clusters with a single measured prompt are collapsed for their variance (section 5A.12).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.frontier import LEVEL, Interval
from bandit.types import Vector

FEWEST: Final = 2
"""Values that a variance takes."""


@dataclass(frozen=True, slots=True)
class Precision:
    """A mean and what its variance is made of.

    prompts: measured. file: those that they were picked of. within: variance of a prompt's value in
    its cluster, as the picks are shared out. between: variance of the clusters' means. unseen: the
    square of a value that one of the prompts might have had: no value other than 0 among n does not
    mean that there is none.
    """

    mean: float
    prompts: int
    file: int
    within: float
    between: float
    unseen: float = 0.0

    @property
    def deviation(self) -> float:
        """Returns the standard deviation of the mean."""
        within = max(self.within / self.prompts, self.unseen / self.prompts**2)
        return math.sqrt(within + self.between / self.file)

    def half_width(self, level: float = LEVEL) -> float:
        return quantile(level) * self.deviation

    def interval(self, level: float = LEVEL) -> Interval:
        half = self.half_width(level)
        return Interval(self.mean, self.mean - half, self.mean + half)

    def needed(self, half_width: float, level: float = LEVEL) -> int:
        """Returns how many prompts make the interval so narrow.

        More than `file` where all of the file would not do: then both must grow.

        >>> Precision(0.0, 100, 200, 0.25, 0.0).needed(0.08)
        151
        """
        wanted = (half_width / quantile(level)) ** 2
        left = wanted - self.between / self.file
        if left > 0:
            count = max(self.within / left, math.sqrt(self.unseen / left))
            if count <= self.file:
                return max(1, _whole(count))
        return _whole(max((self.within + self.between) / wanted, math.sqrt(self.unseen / wanted)))


def _whole(count: float) -> int:
    """Round up, but for errors of rounding."""
    return math.ceil(count - 1e-6)


def quantile(level: float) -> float:
    """Returns half the width of a central interval of a standard normal distribution."""
    return NormalDist().inv_cdf((1 + level) / 2)


@dataclass(frozen=True, slots=True)
class Strata:
    """Clusters of measured prompts. clusters: (n,). sizes: prompts of the file by cluster.

    weights: of each measured prompt, (n,), with sum 1; clusters without one are left out.
    """

    clusters: NDArray[np.intp]
    sizes: Mapping[int, int]
    weights: Vector = field(init=False)

    def __post_init__(self) -> None:
        found, places, counts = np.unique(self.clusters, return_inverse=True, return_counts=True)
        shares = np.array([self.sizes[cluster] for cluster in found.tolist()], dtype=float)
        weights = (shares / shares.sum() / counts)[places] if len(found) else np.zeros(0)
        object.__setattr__(self, "weights", weights)

    @staticmethod
    def of(clusters: Sequence[int], sizes: Mapping[int, int] | None = None) -> Strata:
        """sizes: None where the prompts measured are the file."""
        measured = np.asarray(clusters, dtype=np.intp)
        found, counts = np.unique(measured, return_counts=True)
        own = dict(zip(found.tolist(), counts.tolist(), strict=True))
        return Strata(measured, own if sizes is None else sizes)

    @property
    def file(self) -> int:
        return sum(self.sizes.values())

    def precision(self, values: Vector, unseen: float = 0.0) -> Precision:
        """values: (n,), of the measured prompts, two at least. unseen: see `Precision`."""
        _, places, counts = np.unique(self.clusters, return_inverse=True, return_counts=True)
        shares = _sums(places, self.weights)
        means = _sums(places, values) / counts
        mean = float(shares @ means)
        variances = self._variances(values, places, counts)
        within = float((shares**2 * variances / counts).sum()) * len(values)
        # The means of clusters differ by chance as well, which is not what their shares would tell.
        by_chance = float((shares * (1 - shares) * variances / counts).sum())
        between = max(0.0, float(shares @ (means - mean) ** 2) - by_chance)
        return Precision(mean, len(values), self.file, within, between, unseen)

    def _variances(
        self, values: Vector, places: NDArray[np.intp], counts: NDArray[np.intp]
    ) -> Vector:
        """Returns the variance in each cluster, (clusters,)."""
        single = counts < FEWEST
        alone = values[single[places]]
        joined = alone if len(alone) >= FEWEST else values
        centred = values - (_sums(places, values) / counts)[places]
        squares = _sums(places, centred**2)
        return np.where(single, joined.var(ddof=1), squares / np.maximum(counts - 1, 1))


def _sums(places: NDArray[np.intp], values: Vector) -> Vector:
    return np.asarray(np.bincount(places, weights=values), dtype=float)
