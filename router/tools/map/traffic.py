"""Traffic by cluster: the decisions on record, added up."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from bandit.types import Context, Vector
from router.domain.logged_context import read_context
from router.domain.records import Choice, DecisionRecord


@dataclass(slots=True)
class PlanTraffic:
    """Sums over the requests that a plan was chosen for.

    judged: how many have feedback; quality, foreseen: sums over these of what was reported and of
    what was expected when the plan was chosen.
    """

    requests: int = 0
    explored: int = 0
    cost_usd: float = 0.0
    judged: int = 0
    quality: float = 0.0
    foreseen: float = 0.0

    def add(self, record: DecisionRecord, choice: Choice) -> None:
        self.requests += 1
        self.explored += choice.explored
        self.cost_usd += record.cost_usd
        if record.feedback is not None:
            self.judged += 1
            self.quality += record.feedback
            self.foreseen += next((e[1] for e in choice.expected if e[0] == choice.plan), math.nan)


@dataclass(slots=True)
class ClusterTraffic:
    """Requests whose strongest cluster it is. total: sum of their contexts' numbers."""

    requests: int = 0
    plans: dict[str, PlanTraffic] = field(default_factory=dict)
    total: Vector | None = None

    def context(self, like: Context) -> Context | None:
        """Returns the mean context of the requests, None without any. like: of the same map."""
        if self.total is None or not self.requests:
            return None
        mean = self.total / self.requests
        clusters, axes = len(like.membership), len(like.projection)
        return Context(
            membership=mean[:clusters],
            projection=mean[clusters : clusters + axes],
            features=mean[clusters + axes :],
            version=like.version,
        )


@dataclass(frozen=True, slots=True)
class Traffic:
    """clusters: by number; one without requests is absent. passed_over: of other map versions."""

    clusters: Mapping[int, ClusterTraffic]
    requests: int
    passed_over: int = 0

    def share(self, cluster: int) -> float | None:
        """Returns a share of all requests, None before the first."""
        if not self.requests:
            return None
        found = self.clusters.get(cluster)
        return (found.requests if found else 0) / self.requests


def traffic_of(records: Iterable[DecisionRecord], version: str, numbers: int) -> Traffic:
    """Add up the decisions in contexts of this map version; others are passed over.

    numbers: how many a context of this map has; records with another count, or with a number that
    is not finite, are passed over as well.
    """
    clusters: dict[int, ClusterTraffic] = {}
    outcome = Counter[bool]()
    for record in records:
        if record.choice is not None:
            outcome[_add(record, version, numbers, clusters)] += 1
    return Traffic(clusters, outcome[True], outcome[False])


def _add(
    record: DecisionRecord, version: str, numbers: int, clusters: dict[int, ClusterTraffic]
) -> bool:
    choice = record.choice
    if choice is None or choice.context.version != version:
        return False
    context = read_context(choice.context)
    row = np.concatenate([context.membership, context.projection, context.features])
    if row.shape != (numbers,) or not np.isfinite(row).all():
        return False
    found = clusters.setdefault(int(context.membership.argmax()), ClusterTraffic())
    found.requests += 1
    found.total = row if found.total is None else found.total + row
    plan = found.plans.setdefault(choice.plan, PlanTraffic())
    plan.add(record, choice)
    return True
