"""A regression forest as plain arrays: to predict, to save, to load; `bandit.training` fits it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.statistics import shaped
from bandit.types import Vector


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Each array (trees, nodes). A node sends x on to `left` where x[feature] <= threshold.

    A leaf leads to itself; value: what a node predicts. depth: steps from the root to any leaf.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float64]
    depth: int

    def predict(self, x: Vector) -> Vector:
        """Of every tree, (trees,); x: (width,), rounded to float32 as in training."""
        x = x.astype(np.float32)
        trees = np.arange(len(self.value))
        nodes = np.zeros(len(trees), dtype=np.intp)
        for _ in range(self.depth):
            below = x[self.feature[trees, nodes]] <= self.threshold[trees, nodes]
            nodes = np.where(below, self.left[trees, nodes], self.right[trees, nodes])
        values: Vector = self.value[trees, nodes]
        return values

    def arrays(self) -> dict[str, NDArray[np.float64] | NDArray[np.int32]]:
        return {
            "feature": self.feature,
            "threshold": self.threshold,
            "left": self.left,
            "right": self.right,
            "value": self.value,
            "depth": np.array([self.depth], dtype=np.int32),
        }

    @staticmethod
    def of(arrays: dict[str, NDArray[np.float64]], width: int) -> Forest:
        """Raises ValueError or KeyError unless `arrays` are those of a forest on (width,)."""
        shape = arrays["value"].shape
        whole = {
            name: shaped(arrays[name], shape).astype(np.int32)
            for name in ("feature", "left", "right")
        }
        nodes = shape[1] if len(shape) == 2 else 0  # noqa: PLR2004 - trees and nodes
        for name, limit in (("feature", width), ("left", nodes), ("right", nodes)):
            if not (nodes and 0 <= whole[name].min() <= whole[name].max() < limit):
                raise ValueError("a node is out of range")
        depth = int(shaped(arrays["depth"], (1,))[0])
        if not 0 <= depth <= nodes:
            raise ValueError("the depth is out of range")
        threshold = shaped(arrays["threshold"], shape)
        return Forest(threshold=threshold, value=arrays["value"], depth=depth, **whole)
