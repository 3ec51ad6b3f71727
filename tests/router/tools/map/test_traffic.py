"""Decisions on record, added up."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bandit.types import Vector
from router.domain.records import DecisionRecord, LoggedContext
from router.tools.map.traffic import Traffic, traffic_of
from tests.router.tools.map.maps import contexts, land, record


def summed(records: list[DecisionRecord]) -> Traffic:
    return traffic_of(records, land().version, land().shape.total)


def nearly(vectors: list[Vector]) -> object:
    """What is logged has the digits of a half float."""
    return pytest.approx(np.mean(vectors, axis=0), rel=2e-3, abs=2e-4)


def test_requests_are_counted_in_their_strongest_cluster() -> None:
    made = contexts(land(), 40)
    found = summed([record(c, n) for n, c in enumerate(made)])
    assert found.requests == 40
    for cluster, there in found.clusters.items():
        mine = [c for c in made if c.membership.argmax() == cluster]
        assert there.requests == len(mine)
        assert found.share(cluster) == pytest.approx(len(mine) / 40)
        mean = there.context(made[0])
        assert mean is not None
        assert mean.membership == nearly([c.membership for c in mine])
        assert mean.projection == nearly([c.projection for c in mine])
        assert mean.features == nearly([c.features for c in mine])
        assert mean.version == land().version


def test_traffic_keeps_cost_and_quality_of_plans_apart() -> None:
    (context,) = contexts(land(), 1)
    found = summed(
        [
            record(context, 1, "cheap", 1.0),
            record(context, 5, "cheap", 0.0),
            record(context, 2, "cheap"),
            record(context, 3, "reasoning", 1.0),
        ]
    )
    (there,) = found.clusters.values()
    cheap, dear = there.plans["cheap"], there.plans["reasoning"]
    assert (cheap.requests, cheap.judged, cheap.quality, cheap.explored) == (3, 2, 1.0, 1)
    assert cheap.cost_usd == pytest.approx(3 * 0.0001)
    assert cheap.foreseen == pytest.approx(1.5)
    assert (dear.requests, dear.foreseen) == (1, 0.95)


def test_traffic_without_records_has_no_shares() -> None:
    found = summed([])
    assert (found.requests, found.share(0), found.clusters) == (0, None, {})


@pytest.mark.parametrize(
    "logged",
    [
        LoggedContext((1.0,), (0.0,), (0.0,), "another map"),
        LoggedContext((1.0, 0.0), (0.0,), (0.0,), land().version),
        LoggedContext((), (), (), land().version),
        LoggedContext((math.nan,) * 32, (0.0,) * 32, (0.0,) * 15, land().version),
    ],
    ids=["version", "shape", "empty", "nan"],
)
def test_records_that_do_not_fit_are_counted_as_passed_over(logged: LoggedContext) -> None:
    good = record(contexts(land(), 1)[0])
    assert good.choice is not None
    bad = replace(good, choice=replace(good.choice, context=logged))
    found = summed([bad, good])
    assert (found.requests, found.passed_over) == (1, 1)


def test_cached_answers_are_no_traffic_of_the_policy() -> None:
    good = record(contexts(land(), 1)[0])
    found = summed([replace(good, choice=None)])
    assert (found.requests, found.passed_over) == (0, 0)
