"""Fits forests; the only module that imports scikit-learn, and only when something is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.errors import TrainerMissing
from bandit.forest import Forest


@dataclass(frozen=True, slots=True)
class ForestSpec:
    """least: training outcomes in a leaf, at least."""

    trees: int
    depth: int
    least: int = 10


def check_trainer() -> None:
    """Raises TrainerMissing unless scikit-learn is installed."""
    if find_spec("sklearn") is None:
        raise TrainerMissing(
            "the pair-classifier learns with scikit-learn: pip install 'adaptive-router[forest]'; "
            "to serve its snapshots nothing is needed"
        )


def fit_forest(
    x: NDArray[np.float32],
    y: NDArray[np.float64],
    weights: NDArray[np.float64],
    spec: ForestSpec,
    seed: int,
) -> Forest:
    """Bootstrapped regression trees, each split among a third of the features (Breiman 2001).

    x: (n, width), y and weights: (n,). seed: the same one gives the same forest.
    """
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415 - serving does without it

    model = RandomForestRegressor(
        n_estimators=spec.trees,
        max_depth=spec.depth,
        min_samples_leaf=spec.least,
        max_features=1 / 3,
        random_state=seed,
    )
    model.fit(x, y, sample_weight=weights)
    return _as_arrays([tree.tree_ for tree in model.estimators_])


def _as_arrays(trees: list[Any]) -> Forest:
    nodes = max(tree.node_count for tree in trees)
    shape = (len(trees), nodes)
    here = np.tile(np.arange(nodes, dtype=np.int32), (len(trees), 1))
    feature, left, right = np.zeros(shape, dtype=np.int32), here.copy(), here.copy()
    threshold, value = np.zeros(shape), np.zeros(shape)
    for row, tree in enumerate(trees):
        inner = np.flatnonzero(tree.children_left >= 0)
        feature[row, inner] = tree.feature[inner]
        threshold[row, inner] = tree.threshold[inner]
        left[row, inner] = tree.children_left[inner]
        right[row, inner] = tree.children_right[inner]
        value[row, : tree.node_count] = tree.value[:, 0, 0]
    depth = max(tree.max_depth for tree in trees)
    return Forest(feature, threshold, left, right, value, int(depth))
