"""The map as values: regions, shares, beliefs and notes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bandit import Action, Weights
from bandit.adaptive.beliefs import beliefs_of
from bandit.errors import VersionMismatch
from bandit.types import Decision, Estimate
from router.tools.map.atlas import MapSources, make_atlas, typical_context
from router.tools.map.traffic import Traffic, traffic_of
from tests.router.tools.map.maps import (
    WEIGHTS,
    actions,
    atlas,
    head,
    land,
    policy,
    record,
    taught,
    traffic,
)

EMPTY = Traffic({}, 0)


def test_every_cluster_is_a_region_and_shares_add_up() -> None:
    made = atlas(land())
    assert sorted(r.number for r in made.regions) == list(range(32))
    assert sum(r.share or 0 for r in made.regions) == pytest.approx(1)
    assert [r.requests for r in made.regions] == sorted(r.requests for r in made.regions)[::-1]
    for region in made.regions:
        assert [view.belief.action for view in region.plans] == ["cheap", "reasoning"]
        if region.requests:
            assert sum(view.share or 0 for view in region.plans) == pytest.approx(1)


def test_the_best_plan_is_the_one_with_the_best_outcomes() -> None:
    made = land()
    found = make_atlas(MapSources(made, taught(made), actions(), EMPTY), head(made))
    for region in found.regions:
        first_axis = typical_context(made, region.number).projection[0]
        if abs(first_axis) > 0.3:
            assert region.best == ("reasoning" if first_axis > 0 else "cheap"), first_axis


def test_a_fresh_policy_is_sure_of_no_plan() -> None:
    made = land()
    found = make_atlas(MapSources(made, policy(made), actions(), EMPTY), head(made))
    assert {r.share for r in found.regions} == {None}
    assert len({r.radius for r in found.regions}) == 1
    for region in found.regions:
        interval = region.plan(region.best).belief.quality
        assert interval is not None
        assert interval.high - interval.low > 0.4
    assert any("No request is on record" in note for note in found.notes)
    assert any("no names" in note for note in found.notes)


def test_notes_name_removed_plans_and_other_maps() -> None:
    made = land()
    context = typical_context(made, 2)
    records = [record(context, 1, "retired"), record(replace(context, version="old"), 2)]
    seen = traffic_of(records, made.version, made.shape.total)
    found = make_atlas(MapSources(made, policy(made), actions(), seen), head(made))
    (region,) = [r for r in found.regions if r.requests]
    assert [view.share for view in region.plans] == [0.0, 0.0]
    assert any("retired" in note for note in found.notes)
    assert any(note.startswith("1 requests on record belong to another") for note in found.notes)


def test_a_single_plan_is_best_everywhere() -> None:
    made = land()
    found = make_atlas(MapSources(made, policy(made), actions()[:1], EMPTY), head(made))
    assert {r.best for r in found.regions} == {"cheap"}
    assert {r.plans[0].belief.best for r in found.regions} == {1.0}


def test_a_policy_without_a_posterior_has_a_map() -> None:
    made = land()
    found = make_atlas(MapSources(made, policy(made, "knn"), actions(), EMPTY), head(made))
    assert all(view.belief.quality is None for r in found.regions for view in r.plans)


class BrokenPolicy:
    """Estimates no number for `cheap`."""

    name, learned = "broken", 0

    def decide(self, _context: object, eligible: list[Action], _weights: Weights) -> Decision:
        numbers = {"cheap": math.nan}
        estimates = {
            a.name: Estimate(*[numbers.get(a.name, 0.5)] * 4, numbers.get(a.name, -1.0))
            for a in eligible
        }
        return Decision("cheap", 1.0, {}, explored=False, estimates=estimates)


def test_a_nan_utility_is_never_best() -> None:
    made = land()
    sources = MapSources(made, BrokenPolicy(), actions(), EMPTY)  # type: ignore[arg-type]  # of a policy only this is asked
    assert {r.best for r in make_atlas(sources, head(made)).regions} == {"reasoning"}


def test_a_policy_of_another_map_is_refused() -> None:
    with pytest.raises(VersionMismatch):
        make_atlas(MapSources(land(), policy(land(1)), actions(), EMPTY), head(land()))


def test_the_layout_continues_an_earlier_one() -> None:
    made = land()
    sources = MapSources(made, policy(made), actions(), EMPTY)
    first = {r.number: (r.x, r.y) for r in make_atlas(sources, head(made)).regions}
    before = np.array([first[n] for n in range(32)])
    mirrored = make_atlas(replace(sources, before=before * [-1, 1]), head(made))
    found = np.array([[r.x, r.y] for r in sorted(mirrored.regions, key=lambda r: r.number)])
    assert abs(found - before * [-1, 1]).max() < 0.15
    assert abs(found - before).max() > 0.5


def test_a_larger_share_has_a_larger_circle() -> None:
    made = land()
    found = make_atlas(MapSources(made, policy(made), actions(), traffic(made, 90)), head(made))
    sizes = [(r.requests, r.radius) for r in found.regions]
    assert sizes == sorted(sizes, reverse=True)
    assert found.head.weights == WEIGHTS


def test_a_region_with_requests_is_judged_at_their_mean_context() -> None:
    made, learned, seen = land(), taught(land()), traffic(land(), 60)
    found = make_atlas(MapSources(made, learned, actions(), seen), head(made))
    region = found.regions[0]
    mean = seen.clusters[region.number].context(typical_context(made, region.number))
    assert mean is not None
    at_mean = beliefs_of(learned, mean, actions(), WEIGHTS)
    assert [view.belief for view in region.plans] == at_mean
    at_centroid = beliefs_of(learned, typical_context(made, region.number), actions(), WEIGHTS)
    assert at_mean != at_centroid
