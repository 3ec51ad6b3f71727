"""Estimated gains against simulations whose true gains are known."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from bandit import make_policy
from bandit.settings import ContextShape, PolicySettings
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven
from router.learning.rewards import RewardSettings
from router.learning.training import Trainer
from router.ports.observer import Observer
from router.tools.evaluate.candidates import FixedCandidate, LearningCandidate, LoggedCandidate
from router.tools.evaluate.cases import case_of, feedback_in
from router.tools.evaluate.evaluation import (
    EvaluationSettings,
    NothingToEvaluate,
    WeightedValues,
    compare,
    weighted,
)
from router.tools.evaluate.report import figures, lines
from tests.router.tools.evaluate.logs import AXES, CLUSTERS, FEATURES, PLANS, UNITS, world

SETTINGS = EvaluationSettings(PLANS, UNITS)
REPLAYS = 100


@pytest.mark.slow
def test_intervals_cover_the_true_value() -> None:
    """95 % promised, so at least 95 of these 100 worlds."""
    covered = 0
    for seed in range(REPLAYS):
        made = world(seed)
        compared = compare(made.events, FixedCandidate("good"), FixedCandidate("cheap"), SETTINGS)
        assert compared.gain.interval is not None
        truth = made.worth("good") - made.worth("cheap")
        covered += compared.gain.interval.low <= truth <= compared.gain.interval.high
    assert covered >= 0.95 * REPLAYS


def test_the_value_of_what_served_is_its_mean_reward() -> None:
    made = world(0)
    compared = compare(made.events, LoggedCandidate(), LoggedCandidate(), SETTINGS)
    assert (compared.decisions, compared.counted) == (400, 400)
    assert compared.value.values.mean() == pytest.approx(compared.logged.reward.mean(), abs=0.02)
    assert compared.value.effective == pytest.approx(400)
    assert compared.gain.values.tolist() == [0.0] * 400


def test_a_learning_candidate_beats_a_random_logging_policy() -> None:
    shape = ContextShape(CLUSTERS, AXES, FEATURES)
    settings = PolicySettings(units=UNITS, shape=shape, cold_start=None, vw=frozenset())
    policy = make_policy("adaptive", settings, "v1", np.random.default_rng(0))
    trainer = Trainer(PLANS, RewardSettings(), Observer())
    made = world(1, n=1_500)
    compared = compare(made.events, LearningCandidate(policy, trainer), LoggedCandidate(), SETTINGS)
    assert compared.gain.interval is not None
    assert compared.gain.interval.low > 0.02
    truth = 0.5 * (0.85 - 0.1) + 0.5 * (0.9 - 0.01) - compared.logged.reward.mean()
    assert compared.gain.interval.low < truth + 0.05


def test_a_candidate_without_overlap_gets_no_interval() -> None:
    made = world(2, cheap=0.001)
    compared = compare(made.events, FixedCandidate("cheap"), LoggedCandidate(), SETTINGS)
    assert compared.value.interval is None
    assert compared.gain.interval is None
    text = "\n".join(
        lines(("fixed:cheap", "logged"), compared, weighted(compared.logged, compared.wanted))
    )
    assert "refused" in text
    assert "says too little" in text
    assert "raise policy.exploration_floor or calibrate" in text


def test_what_could_not_be_estimated_is_null() -> None:
    """`NaN` is no JSON."""
    compared = compare(world(2).events, LoggedCandidate(), LoggedCandidate(), SETTINGS)
    by_weights = WeightedValues(math.nan, math.inf, -math.inf, 0.5)
    found = json.loads(json.dumps(figures(("a", "b"), compared, by_weights), allow_nan=False))
    assert (found["ips"], found["snips"], found["cressie_read"]) == (None, None, [None, 0.5])


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [("good", "cheap", "better by at least"), ("cheap", "good", "worse by at least")],
)
def test_the_verdict_names_the_better_candidate(first: str, second: str, verdict: str) -> None:
    made = world(3, n=1_500)
    compared = compare(made.events, FixedCandidate(first), FixedCandidate(second), SETTINGS)
    by_weights = weighted(compared.logged, compared.wanted)
    assert verdict in lines((first, second), compared, by_weights)[-1]
    assert figures((first, second), compared, by_weights)["counted"] == 1_500
    assert by_weights.low <= by_weights.snips <= by_weights.high


def test_a_policy_against_itself_shows_no_difference() -> None:
    made = world(4)
    compared = compare(made.events, LoggedCandidate(), LoggedCandidate(), SETTINGS)
    by_weights = weighted(compared.logged, compared.wanted)
    assert "no difference" in lines(("logged", "logged"), compared, by_weights)[-1]


def test_only_settled_decisions_with_feedback_are_counted() -> None:
    made = world(5, n=60)
    events: list[Event] = [e for e in made.events if getattr(e, "decision_id", "") != "d-7"]
    first = events[0]
    assert isinstance(first, Decided)
    events[0] = Decided(replace(first.record, settled=False))
    compared = compare(events, LoggedCandidate(), LoggedCandidate(), SETTINGS)
    assert (compared.decisions, compared.counted) == (59, 58)
    since = replace(SETTINGS, since_ms=30)
    assert compare(events, LoggedCandidate(), LoggedCandidate(), since).counted == 30


def test_default_feedback_is_no_case() -> None:
    told = [FeedbackGiven("a", 0.2), FeedbackGiven("b", 0.8, by_default=True)]
    assert feedback_in(told) == {"a": 0.2}


def test_of_a_session_s_decisions_one_is_measured_on_average() -> None:
    told = [FeedbackGiven(f"d-{n}", 1.0, session_share=0.25) for n in range(400)]
    found = feedback_in(told)
    assert len(found) == pytest.approx(100, abs=40)
    assert feedback_in([replace(each, quality=0.0, replaces=1.0) for each in told]).keys() == (
        found.keys()
    )


def test_a_served_second_opinion_is_no_failure_of_its_case() -> None:
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
        compare(events, LoggedCandidate(), LoggedCandidate(), SETTINGS)


def test_decisions_among_removed_plans_are_left_out() -> None:
    gone = replace(SETTINGS, plans={"good": PLANS["good"]})
    with pytest.raises(NothingToEvaluate):
        compare(world(7, n=5).events, LoggedCandidate(), LoggedCandidate(), gone)


def test_cases_are_made_at_the_prices_of_their_requests() -> None:
    """A policy that is evaluated is told the logged prices; the reward values what follows."""
    events = world(0).events
    event = next(e for e in events if isinstance(e, Decided))
    choice, feedback = event.record.choice, feedback_in(events)
    assert choice is not None
    plain = case_of(event, feedback, PLANS, UNITS)
    prices = tuple((name, 0.5, 0.2, 0.1) for name, _ in choice.probabilities)
    costly = replace(choice, prices=prices, weights=replace(choice.weights, cost=1.0))
    dear = replace(costly, prices=())
    valued, alone = (
        case_of(Decided(replace(event.record, choice=one)), feedback, PLANS, UNITS)
        for one in (costly, dear)
    )
    assert plain is not None
    assert valued is not None
    assert alone is not None
    assert {a.prior_cost_usd for a in valued.eligible} == {0.5}
    assert {a.name: a.prior_cost_usd for a in plain.eligible} == {
        name: PLANS[name].prior_cost_usd for name, _ in choice.probabilities
    }
    paid_usd = event.record.cost_usd
    gained_usd = paid_usd - max(0.0, paid_usd - 0.1)
    assert valued.reward - alone.reward == pytest.approx(gained_usd / UNITS.cost_usd)
