"""Where the clusters of a map stand on a plane: near ones near, and where they stood before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]

ROUNDS: Final = 200
GAP: Final = 0.01
"""Between two circles at least, in units of the plane, which is two units wide."""
_GOLDEN: Final = 2.399963
"""The golden angle, in radians: directions that never repeat, for points on one spot."""


def positions(centroids: NDArray[np.floating], before: Rows | None = None) -> Rows:
    """First two principal components of the centroids, (k, 2), the farthest one unit out.

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
    """The rotation or reflection of `points` nearest to `before`; both (k, 2).

    The orthogonal Procrustes problem (Schönemann 1966): with P'B = U S V', turn by U V'.
    """
    left, _, right = np.linalg.svd(points.T @ before)
    result: Rows = points @ left @ right
    return result


def apart(points: Rows, radii: Sequence[float]) -> Rows:
    """The points moved as little as it takes for their circles not to overlap; (k, 2).

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


def _upright(plane: Rows) -> Rows:
    """Principal components know no sign: the larger deviations point right and up."""
    signs = np.sign((plane**3).sum(axis=0))
    result: Rows = plane * np.where(signs == 0, 1.0, signs)
    return result
