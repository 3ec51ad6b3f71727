"""Cost against quality: the hull of fixed arms, what a two-arm router recovers, intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandit.errors import BadInput
from bandit.types import Vector

DRAWS: Final = 2_000
LEVEL: Final = 0.95
_BLOCK_NUMBERS: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the bounds of its interval; infinite bounds where nothing can be said."""

    mean: float
    low: float
    high: float


def hull(costs: ArrayLike, qualities: ArrayLike) -> list[int]:
    """Return the indices of the arms on the upper hull, from the cheapest to the best.

    costs, qualities: means per arm, (k,). Mixing neighbours on the hull at random reaches every
    point between them, and no mix of fixed arms reaches a point above.

    >>> hull([1.0, 2.0, 3.0, 5.0], [0.5, 0.55, 0.8, 0.7])
    [0, 2]

    Raises:
        BadInput: no arm, shapes that differ, or a non-finite number.

    """
    points = _points(costs, qualities)
    on_hull: list[int] = []
    for i in np.lexsort((-points[:, 1], points[:, 0])).tolist():
        if on_hull and points[i, 1] <= points[on_hull[-1], 1]:
            continue
        while len(on_hull) > 1 and _is_below(*points[[on_hull[-2], on_hull[-1], i]]):
            on_hull.pop()
        on_hull.append(i)
    return on_hull


def hull_quality(costs: ArrayLike, qualities: ArrayLike, at_cost: ArrayLike) -> Vector:
    """Return the quality of the best random mix of fixed arms that costs at most `at_cost`.

    costs, qualities: means per arm, (k,). at_cost: any shape, which is also the result's. Below
    the cheapest arm no mix exists; that arm's quality stands there.

    >>> hull_quality([1.0, 3.0], [0.5, 0.9], [0.0, 2.0, 3.0, 9.0]).tolist()
    [0.5, 0.7, 0.9, 0.9]

    Raises:
        BadInput: no arm, shapes that differ, or a non-finite number.

    """
    points = _points(costs, qualities)[hull(costs, qualities)]
    quality: Vector = np.interp(np.asarray(at_cost, dtype=float), points[:, 0], points[:, 1])
    return quality


def recovery(scores: ArrayLike, weak: ArrayLike, strong: ArrayLike) -> tuple[Vector, Vector]:
    """Return (share of calls to the strong arm, performance gap recovered), from none to all.

    scores: higher means that the strong arm is worth more, (n,). weak, strong: quality of each
    arm per prompt, (n,). PGR = (r(router) - r(weak)) / (r(strong) - r(weak)), with r the mean
    quality (Ong et al., RouteLLM, 2024, section 3). Prompts with equal scores go over together.

    Raises:
        BadInput: shapes that differ, non-finite numbers, or arms of equal mean quality.

    """
    ordered = np.asarray(scores, dtype=float)
    gains = np.asarray(strong, dtype=float) - np.asarray(weak, dtype=float)
    if ordered.ndim != 1 or ordered.shape != gains.shape or not len(ordered):
        raise BadInput("give one score and two qualities per prompt, at least one prompt")
    if not (np.isfinite(ordered).all() and np.isfinite(gains).all()):
        raise BadInput("a score or a quality is not finite; leave such prompts out")
    if gains.sum() == 0:
        raise BadInput("both arms have the same mean quality: there is no gap to recover")
    order = np.argsort(-ordered, kind="stable")
    last = np.flatnonzero(np.append(np.diff(ordered[order]) != 0, np.True_))
    share = np.append(0.0, (last + 1) / len(ordered))
    recovered = np.append(0.0, gains[order].cumsum()[last] / gains.sum())
    return share, recovered


def apgr(scores: ArrayLike, weak: ArrayLike, strong: ArrayLike) -> float:
    """Return the average performance gap recovered: PGR's integral over the strong arm's share.

    A random router has .5. RouteLLM sums ten shares; this is the integral by trapezoids over all
    of them. Arguments and errors as in `recovery`.

    >>> apgr([3.0, 2.0, 1.0, 0.0], [0, 1, 1, 1], [1, 1, 1, 1])
    0.875
    """
    share, recovered = recovery(scores, weak, strong)
    return float((np.diff(share) * (recovered[1:] + recovered[:-1])).sum() / 2)


def cpt(scores: ArrayLike, weak: ArrayLike, strong: ArrayLike, target: float) -> float:
    """Return the call-performance threshold: least share of strong calls that recovers `target`.

    target: share of the gap, .5 for CPT(50%). Between two thresholds the share is interpolated: a
    mix of both reaches it. Arguments and errors as in `recovery`.

    >>> cpt([3.0, 2.0, 1.0, 0.0], [0, 1, 1, 1], [1, 1, 1, 1], target=0.8)
    0.2
    """
    if not 0 <= target <= 1:
        raise BadInput("the target is a share of the gap, between 0 and 1")
    share, recovered = recovery(scores, weak, strong)
    first = int(np.argmax(recovered >= target - 1e-12))
    if first == 0:
        return 0.0
    rise = recovered[first] - recovered[first - 1]
    part = (target - recovered[first - 1]) / rise
    return float(share[first - 1] + part * (share[first] - share[first - 1]))


def bootstrap_mean(
    values: ArrayLike, rng: np.random.Generator, draws: int = DRAWS, level: float = LEVEL
) -> Interval:
    """Return the percentile bootstrap interval of a mean (Efron 1979).

    values: (n,), n >= 1. To compare two policies give their differences pair by pair (the same
    seed, the same prompt): resampling pairs keeps what both have in common out of the interval.

    Raises:
        BadInput: no values, or a non-finite one.

    """
    sample = np.asarray(values, dtype=float)
    if sample.ndim != 1 or not len(sample) or not np.isfinite(sample).all():
        raise BadInput("give at least one finite value to find an interval of their mean")
    block = max(1, _BLOCK_NUMBERS // len(sample))
    sizes = [min(block, draws - done) for done in range(0, draws, block)]
    means = [sample[rng.integers(len(sample), size=(n, len(sample)))].mean(axis=1) for n in sizes]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(sample.mean()), float(low), float(high))


def _points(costs: ArrayLike, qualities: ArrayLike) -> NDArray[np.float64]:
    """Return the arms as points, (k, 2)."""
    x, y = np.asarray(costs, dtype=float), np.asarray(qualities, dtype=float)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise BadInput("give one cost and one quality per arm, at least one arm")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise BadInput("an arm's mean cost or quality is not finite; leave that arm out")
    return np.column_stack([x, y])


def _is_below(
    left: NDArray[np.float64], middle: NDArray[np.float64], right: NDArray[np.float64]
) -> bool:
    """Return whether `middle` is on or below the line from `left` to `right`."""
    rise = (right[1] - left[1]) * (middle[0] - left[0])
    return bool((middle[1] - left[1]) * (right[0] - left[0]) <= rise)
