"""Fits a context map to a list of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.context.context_map import AXES, CLUSTERS, ContextMap
from bandit.context.features import raw_features
from bandit.errors import BadContext
from bandit.types import PromptFacts, Vector

Rows = NDArray[np.float64]

MIN_PROMPTS: Final = 8 * CLUSTERS
MAX_ROUNDS: Final = 100
LEAST_SCALE: Final = 0.5
"""Least scale of a feature: one that hardly varies in the fitted prompts must not be blown up."""


def fit(embeddings: NDArray[np.float32], facts: Sequence[PromptFacts], seed: int = 0) -> ContextMap:
    """Fit a context map to prompts that are none of those it will be judged on.

    embeddings: (n, d), unit rows. facts: n of them, same order. n >= 256.

    Raises:
        BadContext: too few prompts, a non-finite number, or lengths that differ.

    """
    return fit_rows(embeddings, np.array([raw_features(fact) for fact in facts]), seed)


def fit_rows(embeddings: NDArray[np.float32], raw: Rows, seed: int = 0) -> ContextMap:
    """Fit a context map to features that are known. raw: (n, n_features), before centring."""
    if len(embeddings) < MIN_PROMPTS or len(embeddings) != len(raw):
        raise BadContext(f"give at least {MIN_PROMPTS} prompts, and one embedding for each")
    rows = np.asarray(embeddings, dtype=np.float64)
    if not (np.isfinite(rows).all() and np.isfinite(raw).all()):
        raise BadContext("an embedding holds a non-finite number; embed that prompt again")
    centre = rows.mean(axis=0)
    means = raw.mean(axis=0)
    return ContextMap.of(
        {
            "centroids": k_means(rows, CLUSTERS, np.random.default_rng(seed)),
            "centre": centre,
            "axes": principal_axes(rows - centre, AXES),
            "feature_means": means,
            "feature_scales": np.maximum(np.quantile(abs(raw - means), 0.99, axis=0), LEAST_SCALE),
        }
    )


def k_means(rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """Run Lloyd's algorithm from a k-means++ start; (count, d). Empty clusters start anew."""
    centroids = _spread(rows, count, rng)
    nearest = np.full(len(rows), -1)
    for _ in range(MAX_ROUNDS):
        before, nearest = nearest, _distances(rows, centroids).argmin(axis=1)
        if (before == nearest).all():
            break
        for j in range(count):
            mine = nearest == j
            centroids[j] = rows[mine].mean(axis=0) if mine.any() else rng.choice(rows)
    return centroids


def principal_axes(centred: Rows, count: int) -> Rows:
    """Return axes v_j / eigenvalue_j^(1/4), (count, d), for a mean-square projection of 1."""
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    top = np.argsort(values)[::-1][:count]
    axes = vectors[:, top].T / np.maximum(values[top], 1e-9)[:, None] ** 0.25
    norm: Vector = np.sqrt(((centred @ axes.T) ** 2).sum(axis=1).mean())
    scaled: Rows = axes / max(float(norm), 1e-9)
    return scaled


def _spread(rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """Draw each next centre by its squared distance (Arthur and Vassilvitskii 2007)."""
    chosen = [rows[rng.integers(len(rows))]]
    while len(chosen) < count:
        gap = np.maximum(_distances(rows, np.array(chosen)).min(axis=1), 0) + 1e-12
        chosen.append(rows[rng.choice(len(rows), p=gap / gap.sum())])
    return np.array(chosen)


def _distances(rows: Rows, centroids: Rows) -> Rows:
    """Return squared distances, (n, count)."""
    own = (rows * rows).sum(axis=1)[:, None]
    squared: Rows = own - 2 * rows @ centroids.T + (centroids * centroids).sum(axis=1)
    return squared
