"""Which cluster of a new map is which of an earlier one."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.context.context_map import ContextMap
from bandit.errors import BadInput

Rows = NDArray[np.float64]
_NOBODY: Final = -1


def renumbered(made: ContextMap, before: ContextMap) -> ContextMap:
    """The same map with its clusters in the order of the nearest ones of an earlier map.

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
    """For each row the column it gets, each column once, at the least total cost; (n,).

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


def _shortest(
    costs: Rows, owner: NDArray[np.intp], rows_price: Rows, columns_price: Rows
) -> NDArray[np.intp]:
    """Where each column is reached from, and at the end the free column that is nearest.

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
