"""Evaluation of a policy that only watched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.events import Decided
from router.tools.evaluate.candidates import FixedCandidate, LoggedCandidate, WatchedCandidate
from router.tools.evaluate.cases import forecast_of
from router.tools.evaluate.evaluation import EvaluationSettings, compare, weighted
from router.tools.evaluate.report import figures, lines
from tests.router.tools.evaluate.logs import PLANS, UNITS, watched, world

SETTINGS = EvaluationSettings(PLANS, UNITS)
BEST = 0.5 * (0.85 - 0.1) + 0.5 * (0.9 - 0.01)


def test_propensities_of_watched_cases_follow_the_choices_in_their_region() -> None:
    """The hard region was served cheap half as often: without the region's shares it is biased."""
    covered = 0
    for seed in range(20):
        made = watched(world(seed))
        compared = compare(made.events, WatchedCandidate(), FixedCandidate("cheap"), SETTINGS)
        assert compared.value.interval is not None
        hard = made.quality[:, 0] < 0.5
        truth = hard.mean() * (0.85 - 0.1) + (~hard).mean() * (0.9 - 0.01)
        covered += compared.value.interval.low <= truth <= compared.value.interval.high
    assert covered >= 19


def test_a_gain_over_a_caller_who_always_chooses_the_same_has_no_interval() -> None:
    made = watched(world(0, cheap=0.0))
    compared = compare(made.events, WatchedCandidate(), LoggedCandidate(), SETTINGS)
    assert compared.gain.interval is None
    assert compared.forecast is not None
    assert compared.forecast.decisions == len(made.quality)


def test_a_forecast_compares_what_served_with_what_would_have() -> None:
    made = watched(world(0, cheap=0.0))
    seen = forecast_of(made.events)
    assert seen is not None
    easy = (made.quality[:, 0] > 0.5).mean()
    assert seen.elsewhere == pytest.approx(easy)
    assert (seen.served_usd, seen.served_quality) == pytest.approx((0.01, 0.8))
    assert seen.would_usd == pytest.approx(0.01 - easy * 0.009)
    assert seen.would_quality == pytest.approx(0.8 - easy * 0.3)
    assert seen.paid_usd == pytest.approx(0.01 * len(made.quality))
    assert forecast_of(made.events, since_ms=len(made.events)) is None
    assert forecast_of(world(0).events) is None


def test_a_policy_without_estimates_has_no_forecast() -> None:
    (event, *_) = watched(world(0)).events
    assert isinstance(event, Decided)
    assert event.record.choice is not None
    blank = replace(event.record.choice, expected=())
    assert forecast_of([Decided(replace(event.record, choice=blank))]) is None


def test_the_report_marks_forecasts_as_unchecked() -> None:
    compared = compare(watched(world(0)).events, WatchedCandidate(), LoggedCandidate(), SETTINGS)
    by_weights = weighted(compared.logged, compared.wanted)
    told = lines(("watched", "logged"), compared, by_weights)
    assert any("were only watched" in line and "of cost saved" in line for line in told)
    assert any("forecast, which no outcome checked" in line for line in told)
    assert figures(("watched", "logged"), compared, by_weights)["watched"]["decisions"] > 0


@pytest.mark.parametrize("candidate", [WatchedCandidate(), FixedCandidate("cheap")])
def test_a_verdict_without_overlap_advises_to_name_other_arms(
    candidate: WatchedCandidate | FixedCandidate,
) -> None:
    """Nothing is explored while the policy only watches: a higher floor would change nothing."""
    compared = compare(
        watched(world(2, cheap=0.001)).events, candidate, LoggedCandidate(), SETTINGS
    )
    assert compared.gain.interval is None
    told = lines(("first", "logged"), compared, weighted(compared.logged, compared.wanted))
    assert any("name other arms in some requests (routing.arm)" in line for line in told)
