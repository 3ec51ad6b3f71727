"""A regression forest as plain arrays: predicts, saves and loads; `forest_training` fits it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.snapshots.parts import Arrays, shaped
from bandit.types import Vector

Rows = NDArray[np.intp]

FEW: Final = 2
"""Rows up to which plain numbers are sooner through all trees than arrays are."""


@dataclass(frozen=True, eq=False)
class Forest:
    """The nodes of all trees in one row: roots (trees,), children (nodes, 2), the others (nodes,).

    A node sends x on to its first child where x[feature] <= threshold, else to the second. A leaf
    leads to itself; value: what a node predicts. depth: steps from a root to any leaf, at most.
    """

    roots: NDArray[np.intp]
    feature: NDArray[np.intp]
    threshold: NDArray[np.float64]
    children: NDArray[np.intp]
    value: NDArray[np.float64]
    depth: int

    def predict(self, x: NDArray[Any]) -> Vector:
        """Return the mean over the trees, (n,); x: (n, width), rounded to float32 as trained."""
        (n, width), trees = x.shape, len(self.roots)
        if n <= FEW:
            return np.array([self._walked(row) for row in x.astype(np.float32).tolist()])
        numbers = x.astype(np.float32).astype(np.float64).ravel()
        starts = np.arange(0, n * width, width).repeat(trees)
        roots, feature, threshold, children = self._doubled
        # Rows of one dimension throughout: of so few numbers a broadcast takes twice as long.
        places = np.concatenate([roots] * n)
        for _ in range(self.depth):
            asked = feature.take(places)
            asked += starts
            above = numbers.take(asked) > threshold.take(places)
            places = children.take(places + above)
        values = self.value.take(places >> 1).reshape(n, trees)
        means: Vector = np.add.reduce(values, axis=1) / trees
        return means

    def _walked(self, numbers: list[float]) -> float:
        """Return the mean over the trees of one row."""
        (feature, threshold, first, second, value), total = self._plain, 0.0
        roots = self.roots.tolist()
        for node in roots:
            while (asked := feature[node]) >= 0:
                node = (second if numbers[asked] > threshold[node] else first)[node]  # noqa: PLW2901
            total += value[node]
        return total / len(roots)

    @cached_property
    def _plain(self) -> tuple[list[int], list[float], list[int], list[int], list[float]]:
        """Return features, -1 of a leaf, thresholds, children and values as plain numbers."""
        first, second = self.children.T
        feature = np.where(first == np.arange(len(first)), -1, self.feature)
        whole = feature.tolist(), self.threshold.tolist(), first.tolist(), second.tolist()
        return *whole, self.value.tolist()

    @cached_property
    def _doubled(self) -> tuple[Rows, Rows, Vector, Rows]:
        """Return roots, features, thresholds and children for node n at the places 2 n, 2 n + 1.

        The second child is then looked up one place after the first, and leads to a place again.
        """
        feature, threshold = self.feature.repeat(2), self.threshold.repeat(2)
        return 2 * self.roots, feature, threshold, 2 * self.children.ravel()

    def arrays(self) -> Arrays:
        return {
            "roots": self.roots.astype(np.int32),
            "feature": self.feature.astype(np.int32),
            "threshold": self.threshold,
            "children": self.children.astype(np.int32),
            "value": self.value,
            "depth": np.array([self.depth], dtype=np.int32),
        }

    @staticmethod
    def of(arrays: Arrays, width: int) -> Forest:
        """Restore a forest on (n, width). Raises ValueError or KeyError for other arrays."""
        nodes, trees = len(arrays["value"]), len(arrays["roots"])
        shapes = {"roots": (trees,), "feature": (nodes,), "children": (nodes, 2)}
        whole = {n: shaped(arrays[n], shape).astype(np.intp) for n, shape in shapes.items()}
        for name, limit in (("roots", nodes), ("feature", width), ("children", nodes)):
            if not (trees and 0 <= whole[name].min() <= whole[name].max() < limit):
                raise ValueError("a node is out of range")
        depth = int(shaped(arrays["depth"], (1,))[0])
        if not 0 <= depth <= nodes:
            raise ValueError("the depth is out of range")
        threshold, value = (shaped(arrays[name], (nodes,)) for name in ("threshold", "value"))
        return Forest(threshold=threshold, value=value, depth=depth, **whole)
