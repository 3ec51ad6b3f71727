"""The map as values: regions, their places, and the beliefs about each plan there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bandit.adaptive.beliefs import Belief, beliefs_of
from bandit.context.context_map import ContextMap
from bandit.context.layout import Rows, apart, positions
from bandit.types import Action, Context, Policy, Vector, Weights
from router.tools.map.cluster_names import names_of
from router.tools.map.traffic import PlanTraffic, Traffic

LEAST_RADIUS, MOST_RADIUS, PLAIN_RADIUS = 0.045, 0.19, 0.085
"""Radii in units of the plane, which is two units wide."""
FULL_SHARE = 0.25
"""Share of all requests from which a circle has the largest radius."""


@dataclass(frozen=True, slots=True)
class PlanView:
    """One plan in one region. share: of the region's requests, None where there are none."""

    belief: Belief
    traffic: PlanTraffic
    share: float | None


@dataclass(frozen=True, slots=True)
class MapRegion:
    """One cluster. share: of all requests, None before the first. name: terms, may be empty.

    plans: in the order of the atlas. best: the name of the one with the highest expected utility.
    x, y: in [-1, 1] or little beyond; y points up. radius: in the same units.
    """

    number: int
    name: tuple[str, ...]
    x: float
    y: float
    radius: float
    share: float | None
    requests: int
    plans: tuple[PlanView, ...]
    best: str
    examples: tuple[str, ...] = ()

    def plan(self, name: str) -> PlanView:
        return next(view for view in self.plans if view.belief.action == name)


@dataclass(frozen=True, slots=True)
class MapHead:
    """Facts about the whole map. cost_unit_usd: the cost that `weights.cost` of quality pays."""

    policy: str
    snapshot: int
    learned: int
    context_version: str
    weights: Weights
    cost_unit_usd: float
    made_s: float


@dataclass(frozen=True, slots=True)
class Atlas:
    """plans: names, in the order of the config. notes: sentences on what is left out."""

    head: MapHead
    plans: tuple[str, ...]
    regions: tuple[MapRegion, ...]
    requests: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MapSources:
    """Everything a map shows. terms, examples: by cluster. before: an earlier layout, (k, 2)."""

    context_map: ContextMap
    policy: Policy
    actions: Sequence[Action]
    traffic: Traffic
    terms: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    examples: Mapping[int, Sequence[str]] = field(default_factory=dict)
    before: Rows | None = None


def make_atlas(sources: MapSources, head: MapHead) -> Atlas:
    """Returns a map with a region per cluster, those with the most requests first.

    Raises BanditError when the policy was made for another map.
    """
    clusters = range(len(sources.context_map.centroids))
    shares = [sources.traffic.share(j) for j in clusters]
    radii = [_radius(share) for share in shares]
    places = apart(positions(sources.context_map.centroids, sources.before), radii)
    names = names_of(sources.terms)
    regions = [
        _region(sources, head.weights, j, names.get(j, ()), (*places[j].tolist(), radii[j]))
        for j in clusters
    ]
    return Atlas(
        head=head,
        plans=tuple(action.name for action in sources.actions),
        regions=tuple(sorted(regions, key=lambda r: (-r.requests, r.number))),
        requests=sources.traffic.requests,
        notes=tuple(_notes(sources)),
    )


def typical_context(context_map: ContextMap, cluster: int) -> Context:
    """Returns the context of a prompt on the centroid that is average in all else."""
    centroid = context_map.centroids[cluster]
    features: Vector = np.zeros(len(context_map.feature_means))
    return Context(
        membership=context_map.membership(centroid),
        projection=context_map.projection(centroid),
        features=features,
        version=context_map.version,
    )


def _region(
    sources: MapSources,
    weights: Weights,
    cluster: int,
    name: tuple[str, ...],
    place: tuple[float, float, float],
) -> MapRegion:
    traffic = sources.traffic.clusters.get(cluster)
    typical = typical_context(sources.context_map, cluster)
    context = (traffic.context(typical) if traffic else None) or typical
    beliefs = beliefs_of(sources.policy, context, sources.actions, weights)
    requests = traffic.requests if traffic else 0
    seen = traffic.plans if traffic else {}
    return MapRegion(
        number=cluster,
        name=name,
        x=place[0],
        y=place[1],
        radius=place[2],
        share=sources.traffic.share(cluster),
        requests=requests,
        plans=tuple(_view(belief, seen, requests) for belief in beliefs),
        best=max(beliefs, key=_worth).action,
        examples=tuple(sources.examples.get(cluster, ())),
    )


def _view(belief: Belief, seen: Mapping[str, PlanTraffic], requests: int) -> PlanView:
    traffic = seen.get(belief.action, PlanTraffic())
    return PlanView(belief, traffic, traffic.requests / requests if requests else None)


def _worth(belief: Belief) -> float:
    """Returns the expected utility; NaN can't be the best."""
    utility = belief.estimate.utility
    return utility if math.isfinite(utility) else -math.inf


def _radius(share: float | None) -> float:
    """Returns a radius whose area grows with the share."""
    if share is None:
        return PLAIN_RADIUS
    grown = math.sqrt(min(share / FULL_SHARE, 1.0))
    return LEAST_RADIUS + (MOST_RADIUS - LEAST_RADIUS) * grown


def _notes(sources: MapSources) -> list[str]:
    traffic, known = sources.traffic, {action.name for action in sources.actions}
    gone = {name for c in traffic.clusters.values() for name in c.plans} - known
    notes = []
    if not traffic.requests:
        notes.append(
            "No request is on record: circles are of one size, regions stand for average prompts."
        )
    if traffic.passed_over:
        notes.append(
            f"{traffic.passed_over} requests on record belong to another context map "
            "and are left out."
        )
    if gone:
        notes.append(
            f"Requests also went to plans that the config no longer has: {', '.join(sorted(gone))}."
        )
    if not sources.terms:
        notes.append(
            "Regions have no names: no terms are counted (map: {terms: yes}), or none "
            "occurred in enough different prompts yet."
        )
    return notes
