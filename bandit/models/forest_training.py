"""Fits forests; the only module that imports scikit-learn, and not before it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.models.forest import Forest


@dataclass(frozen=True, slots=True)
class ForestSpec:
    """A forest to grow. least: outcomes in a leaf. share: features tried at each split.

    random: thresholds drawn at random, every tree on all outcomes (Geurts et al. 2006); otherwise
    the best thresholds, every tree on a bootstrap sample (Breiman 2001).
    """

    trees: int
    depth: int
    least: int = 10
    share: float = 1 / 3
    random: bool = False


def fit_forest(
    x: NDArray[np.float32],
    y: NDArray[np.float64],
    weights: NDArray[np.float64],
    spec: ForestSpec,
    seed: int,
) -> Forest:
    """Fit regression trees, the same for the same seed. x: (n, width), y and weights: (n,)."""
    fit = _extremely_random if spec.random else _bootstrapped
    return _in_one([tree.tree_ for tree in fit(x, y, weights, spec, seed)])


def load() -> None:
    """Import what fits forests, which takes a second, before the first one is fitted."""
    import sklearn.tree  # noqa: F401, PLC0415 - serving does without it


def _extremely_random(
    x: NDArray[np.float32],
    y: NDArray[np.float64],
    weights: NDArray[np.float64],
    spec: ForestSpec,
    seed: int,
) -> list[Any]:
    """Fit the trees of an `ExtraTreesRegressor` without its checks, which take as long again."""
    from sklearn import config_context  # noqa: PLC0415 - as above
    from sklearn.tree import ExtraTreeRegressor  # noqa: PLC0415 - as above

    draws = np.random.RandomState(seed)
    x = np.ascontiguousarray(x, dtype=np.float32)
    seeds = [draws.randint(np.iinfo(np.int32).max) for _ in range(spec.trees)]
    trees = [ExtraTreeRegressor(random_state=one, **_limits(spec)) for one in seeds]
    with config_context(skip_parameter_validation=True, assume_finite=True):
        return [tree.fit(x, y, sample_weight=weights, check_input=False) for tree in trees]


def _bootstrapped(
    x: NDArray[np.float32],
    y: NDArray[np.float64],
    weights: NDArray[np.float64],
    spec: ForestSpec,
    seed: int,
) -> list[Any]:
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415 - as above

    model = RandomForestRegressor(n_estimators=spec.trees, random_state=seed, **_limits(spec))
    fitted: list[Any] = model.fit(x, y, sample_weight=weights).estimators_
    return fitted


def _limits(spec: ForestSpec) -> dict[str, Any]:
    return {
        "max_depth": spec.depth,
        "min_samples_leaf": spec.least,
        "max_features": spec.share,
    }


def _in_one(trees: list[Any]) -> Forest:
    counts = np.array([tree.node_count for tree in trees])
    roots = (counts.cumsum() - counts).astype(np.intp)
    children = np.concatenate([_children(t) + root for t, root in zip(trees, roots, strict=True)])
    feature = np.concatenate([np.maximum(tree.feature, 0) for tree in trees])
    return Forest(
        roots=roots,
        feature=feature.astype(np.intp),
        threshold=np.concatenate([tree.threshold for tree in trees]),
        children=children.astype(np.intp),
        value=np.concatenate([tree.value[:, 0, 0] for tree in trees]),
        depth=int(max(tree.max_depth for tree in trees)),
    )


def _children(tree: Any) -> NDArray[np.int64]:
    """Return the children of each node, (nodes, 2); a leaf's are itself."""
    children = np.stack([tree.children_left, tree.children_right], axis=1)
    here = np.arange(tree.node_count)[:, None]
    return np.where(children < 0, here, children)
