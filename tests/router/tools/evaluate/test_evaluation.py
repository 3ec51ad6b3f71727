"""Gains read off a log, against worlds whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bandit import make_policy
from bandit.settings import ContextShape, PolicySettings
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven
from router.learning.rewards import RewardSettings
from router.ports.observer import Observer
from router.tools.evaluate.candidates import Fixed, Learning, Logged
from router.tools.evaluate.cases import case_of, feedback_in
from router.tools.evaluate.errors import NothingToEvaluate
from router.tools.evaluate.evaluation import Terms, compare
from router.tools.evaluate.library import weighted
from router.tools.evaluate.report import figures, lines
from tests.router.tools.evaluate.worlds import AXES, CLUSTERS, FEATURES, PLANS, UNITS, world

TERMS = Terms(PLANS, UNITS, RewardSettings())
REPLAYS = 100


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    """95 % promised, so at least 95 of these 100 worlds."""
    covered = 0
    for seed in range(REPLAYS):
        made = world(seed)
        compared = compare(made.events, Fixed("good"), Fixed("cheap"), TERMS)
        assert compared.gain.interval is not None
        truth = made.worth("good") - made.worth("cheap")
        covered += compared.gain.interval.low <= truth <= compared.gain.interval.high
    assert covered >= 0.95 * REPLAYS


def test_what_served_is_worth_what_it_earned() -> None:
    made = world(0)
    compared = compare(made.events, Logged(), Logged(), TERMS)
    assert (compared.decisions, compared.counted) == (400, 400)
    assert compared.value.values.mean() == pytest.approx(compared.logged.reward.mean(), abs=0.02)
    assert compared.value.effective == pytest.approx(400)
    assert compared.gain.values.tolist() == [0.0] * 400


def test_a_policy_that_learns_from_the_log_beats_what_logged_it() -> None:
    shape = ContextShape(CLUSTERS, AXES, FEATURES)
    settings = PolicySettings(units=UNITS, shape=shape, cold_start=None, vw=frozenset())
    policy = make_policy("adaptive", settings, "v1", np.random.default_rng(0))
    made = world(1, n=1_500)
    compared = compare(made.events, Learning(policy, Observer()), Logged(), TERMS)
    assert compared.gain.interval is not None
    assert compared.gain.interval.low > 0.02
    truth = 0.5 * (0.85 - 0.1) + 0.5 * (0.9 - 0.01) - compared.logged.reward.mean()
    assert compared.gain.interval.low < truth + 0.05


def test_where_the_log_never_went_nothing_is_said() -> None:
    made = world(2, cheap=0.001)
    compared = compare(made.events, Fixed("cheap"), Logged(), TERMS)
    assert compared.value.interval is None
    assert compared.gain.interval is None
    text = "\n".join(
        lines(("fixed:cheap", "logged"), compared, weighted(compared.logged, compared.wanted))
    )
    assert "refused" in text
    assert "says too little" in text
    assert "raise policy.exploration_floor or calibrate" in text


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [("good", "cheap", "better by at least"), ("cheap", "good", "worse by at least")],
)
def test_verdicts(first: str, second: str, verdict: str) -> None:
    made = world(3, n=1_500)
    compared = compare(made.events, Fixed(first), Fixed(second), TERMS)
    by_weights = weighted(compared.logged, compared.wanted)
    assert verdict in lines((first, second), compared, by_weights)[-1]
    assert figures((first, second), compared, by_weights)["counted"] == 1_500
    assert by_weights.low <= by_weights.snips <= by_weights.high


def test_the_same_policy_shows_no_difference() -> None:
    made = world(4)
    compared = compare(made.events, Logged(), Logged(), TERMS)
    by_weights = weighted(compared.logged, compared.wanted)
    assert "no difference" in lines(("logged", "logged"), compared, by_weights)[-1]


def test_only_what_can_be_valued_is_counted() -> None:
    made = world(5, n=60)
    events: list[Event] = [e for e in made.events if getattr(e, "decision_id", "") != "d-7"]
    first = events[0]
    assert isinstance(first, Decided)
    events[0] = Decided(replace(first.record, settled=False))
    compared = compare(events, Logged(), Logged(), TERMS)
    assert (compared.decisions, compared.counted) == (59, 58)
    since = replace(TERMS, since_ms=30)
    assert compare(events, Logged(), Logged(), since).counted == 30


def test_silence_measures_nothing() -> None:
    told = [FeedbackGiven("a", 0.2), FeedbackGiven("b", 0.8, by_default=True)]
    assert feedback_in(told) == {"a": 0.2}


def test_a_second_opinion_that_was_served_is_no_failure() -> None:
    asked = Plan("checked", ("cheap", "good"), 0.01, second="other")
    event = world(8, n=1).events[0]
    assert isinstance(event, Decided)
    choice = event.record.choice
    assert choice is not None
    choice = replace(choice, plan="checked", probabilities=(("checked", 1.0),))
    served = replace(event.record, choice=choice, arm="other")
    cases = [
        case_of(Decided(replace(served, arm=arm)), {"d-0": 1.0}, {"checked": asked}, UNITS)
        for arm in ("other", "good", "spare")
    ]
    asked_twice, escalated, failed_over = (case.reward for case in cases if case is not None)
    assert asked_twice == escalated > failed_over


@pytest.mark.parametrize("events", [[], world(6, n=5).events[::2]], ids=["empty", "unjudged"])
def test_a_log_without_feedback_is_refused(events: list[Event]) -> None:
    with pytest.raises(NothingToEvaluate):
        compare(events, Logged(), Logged(), TERMS)


def test_decisions_among_plans_that_are_gone_are_left_out() -> None:
    gone = replace(TERMS, plans={"good": PLANS["good"]})
    with pytest.raises(NothingToEvaluate):
        compare(world(7, n=5).events, Logged(), Logged(), gone)
