"""Clusters that keep their number and their place on a plane when a map is fitted anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.context.context_map import ContextMap
from bandit.errors import BadInput

Rows = NDArray[np.float64]

ROUNDS: Final = 200
GAP: Final = 0.01
"""Least gap between two circles; the plane is two units wide."""
_NOBODY: Final = -1
_GOLDEN: Final = 2.399963
"""The golden angle, in radians: directions that never repeat, for points on one spot."""


def positions(centroids: NDArray[np.floating], before: Rows | None = None) -> Rows:
    """Return the centroids' first two principal components, (k, 2), the farthest one unit out.

    centroids: (k, d). before: (k, 2), where the same clusters stood; the new positions are
    turned or mirrored to lie as near to them as they can.
    """
    rows = np.asarray(centroids, dtype=np.float64)
    centred = rows - rows.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(rows), 2))
    found = min(2, len(sizes))
    plane[:, :found] = left[:, :found] * sizes[:found]
    plane = _upright(plane)
    plane /= max(float(np.linalg.norm(plane, axis=1).max(initial=0.0)), 1e-12)
    if before is None or before.shape != plane.shape or not np.isfinite(before).all():
        return plane
    return turned(plane, before)


def turned(points: Rows, before: Rows) -> Rows:
    """Rotate or reflect `points` as near to `before` as they can be; both (k, 2).

    The orthogonal Procrustes problem (Schönemann 1966): with P'B = U S V', turn by U V'.
    """
    left, _, right = np.linalg.svd(points.T @ before)
    result: Rows = points @ left @ right
    return result


def apart(points: Rows, radii: Sequence[float]) -> Rows:
    """Move the points as little as it takes for their circles not to overlap; (k, 2).

    Every overlapping pair is pushed apart by half its overlap each, over and over. Where there is
    no room left some overlap stays.
    """
    placed, sizes = points.copy(), np.asarray(radii, dtype=np.float64)
    wanted = sizes[:, None] + sizes[None, :] + GAP
    np.fill_diagonal(wanted, 0.0)
    angles = _GOLDEN * np.arange(len(placed))
    placed += 1e-6 * np.column_stack([np.cos(angles), np.sin(angles)])
    for _ in range(ROUNDS):
        between = placed[:, None, :] - placed[None, :, :]
        distance = np.sqrt((between * between).sum(axis=2))
        overlap = np.maximum(wanted - distance, 0.0)
        if not overlap.any():
            break
        push = overlap / np.maximum(distance, 1e-9) / 2
        placed += (push[:, :, None] * between).sum(axis=1)
    return placed


def renumbered(made: ContextMap, before: ContextMap) -> ContextMap:
    """Return the map with its clusters in the order of the nearest ones of an earlier map.

    Distances between centroids, added up over all pairs, are as small as they can be. Where the
    numbers of clusters or of dimensions differ, nothing is matched.
    """
    if made.centroids.shape != before.centroids.shape:
        return made
    new, old = made.centroids.astype(np.float64), before.centroids.astype(np.float64)
    order = assignment(((old[:, None, :] - new[None, :, :]) ** 2).sum(axis=2))
    return ContextMap.of(
        {
            "centroids": new[order],
            "centre": made.centre,
            "axes": made.axes,
            "feature_means": made.feature_means,
            "feature_scales": made.feature_scales,
        }
    )


def assignment(costs: Rows) -> NDArray[np.intp]:
    """Return the column of each row, each column once, at the least total cost; (n,).

    costs: (n, n). The Hungarian method (Kuhn 1955) by shortest augmenting paths, O(n^3).

    >>> assignment(np.array([[4.0, 1.0], [2.0, 0.5]])).tolist()
    [1, 0]

    Raises:
        BadInput: not square, or a number is not finite.

    """
    if costs.ndim != 2 or costs.shape[0] != costs.shape[1] or not np.isfinite(costs).all():  # noqa: PLR2004 - a matrix
        raise BadInput("an assignment needs a square matrix of finite costs")
    n = len(costs)
    owner = np.full(n + 1, _NOBODY)
    rows_price, columns_price = np.zeros(n), np.zeros(n + 1)
    for row in range(n):
        owner[n] = row
        came_from = _shortest(costs, owner, rows_price, columns_price)
        column = came_from[-1]
        path = came_from[:-1]
        while column != n:
            owner[column] = owner[path[column]]
            column = path[column]
    columns = np.empty(n, dtype=np.intp)
    columns[owner[:n]] = np.arange(n)
    return columns


def _upright(plane: Rows) -> Rows:
    """Turn larger deviations right and up: principal components know no sign."""
    signs = np.sign((plane**3).sum(axis=0))
    result: Rows = plane * np.where(signs == 0, 1.0, signs)
    return result


def _shortest(
    costs: Rows, owner: NDArray[np.intp], rows_price: Rows, columns_price: Rows
) -> NDArray[np.intp]:
    """Return the source of each column, and last the nearest free column.

    Column n stands for the start. The prices are brought up to date on the way.
    """
    n = len(costs)
    least, done = np.full(n, np.inf), np.zeros(n + 1, dtype=bool)
    came_from = np.full(n + 1, n)
    at = n
    while owner[at] != _NOBODY:
        done[at] = True
        row = owner[at]
        slack = costs[row] - rows_price[row] - columns_price[:n]
        nearer = ~done[:n] & (slack < least)
        least[nearer], came_from[:n][nearer] = slack[nearer], at
        following = int(np.where(done[:n], np.inf, least).argmin())
        step = least[following]
        rows_price[owner[done]] += step
        columns_price[done] -= step
        least[~done[:n]] -= step
        at = following
    came_from[n] = at
    return came_from
