from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bandit.types import Action
from router.domain.catalog import Plan
from router.domain.errors import REQUEST_FAULTS
from router.domain.events import Decided, FeedbackGiven, Reasked
from router.domain.records import (
    Attempt,
    AttemptOutcome,
    Choice,
    DecisionRecord,
    LoggedContext,
    Mode,
    WeightSet,
)
from router.learning.rewards import RewardSettings, outcomes_of

PLANS = {
    "cheap": Plan("cheap", ("cheap",), 0.001),
    "ladder": Plan("ladder", ("cheap", "reasoning"), 0.004),
}
CONTEXT = LoggedContext((1.0, 0.0), (0.5,), (0.1, 0.2), "v1")
CHOICE = Choice(
    plan="ladder",
    propensity=0.4,
    explored=False,
    probabilities=(("cheap", 0.6), ("ladder", 0.4)),
    policy="adaptive",
    policy_version=3,
    weights=WeightSet(1, 0.1, 0, 0.5),
    context=CONTEXT,
)
WEAK = Attempt("cheap", "d", "m", AttemptOutcome.ESCALATED, "empty", 100.0, cost_usd=0.001)
GOOD = Attempt("cheap", "d", "m", AttemptOutcome.ACCEPTED, "passed", 100.0, cost_usd=0.001)
STRONG = Attempt("reasoning", "e", "n", AttemptOutcome.ACCEPTED, "passed", 900.0, cost_usd=0.02)
DOWN = Attempt("cheap", "d", "m", AttemptOutcome.FAILED, "provider_timeout", 50.0)
SPARE = Attempt("fallback", "f", "o", AttemptOutcome.ACCEPTED, "passed", 200.0, cost_usd=0.003)
SETTINGS = RewardSettings(implicit_weight=0.25)


def record(*attempts: Attempt, choice: Choice | None = CHOICE) -> DecisionRecord:
    arm = next((a.arm for a in attempts if a.outcome is AttemptOutcome.ACCEPTED), "")
    return DecisionRecord("id", "t", 0, Mode.COMPLETE, choice=choice, attempts=attempts, arm=arm)


def test_an_escalation_charges_every_attempt_and_blames_the_first_rung_weakly() -> None:
    whole, alone, blame = outcomes_of(Decided(r := record(WEAK, STRONG)), r, PLANS, SETTINGS)
    assert (whole.action.name, whole.cost_usd, whole.latency_ms) == ("ladder", 0.021, 1000.0)
    assert (whole.failed, whole.quality) == (False, None)
    assert (alone.action.name, alone.cost_usd, alone.weight) == ("cheap", 0.001, 1.0)
    assert (blame.action.name, blame.quality, blame.weight) == ("cheap", 0.0, 0.25)
    assert np.array_equal(whole.context.membership, [1.0, 0.0])


def test_feedback_is_about_the_first_rung_only_when_it_was_served() -> None:
    said = FeedbackGiven("id", 0.9)
    both = outcomes_of(said, record(GOOD), PLANS, SETTINGS)
    assert [(o.action.name, o.quality) for o in both] == [("ladder", 0.9), ("cheap", 0.9)]
    one = outcomes_of(said, record(WEAK, STRONG), PLANS, SETTINGS)
    assert [(o.action.name, o.quality) for o in one] == [("ladder", 0.9)]


def test_a_failover_is_a_failure_and_no_answer_is_quality_zero() -> None:
    over = outcomes_of(Decided(r := record(DOWN, SPARE)), r, PLANS, SETTINGS)
    assert [(o.action.name, o.failed, o.quality) for o in over] == [
        ("ladder", True, None),
        ("cheap", True, None),
    ]
    none = outcomes_of(Decided(r := record(DOWN)), r, PLANS, SETTINGS)
    assert (none[0].failed, none[0].quality) == (True, 0.0)


def test_what_a_call_without_a_count_is_charged_at_most_is_no_cost_of_its_plan() -> None:
    bound = replace(DOWN, cost_usd=0.5, guessed=True)
    over = outcomes_of(Decided(r := record(bound, SPARE)), r, PLANS, SETTINGS)
    assert [(o.action.name, o.cost_usd, o.failed) for o in over] == [
        ("ladder", None, True),
        ("cheap", None, True),
    ]
    served = replace(GOOD, guessed=True)  # its tokens are estimated, but there is an answer
    whole, alone = outcomes_of(Decided(r := record(served)), r, PLANS, SETTINGS)
    assert (whole.cost_usd, alone.cost_usd) == (0.001, 0.001)


def test_an_answer_that_was_not_checked_is_no_sign_against_its_arm() -> None:
    unchecked = replace(WEAK, why="unjudged")
    outcomes = outcomes_of(Decided(r := record(unchecked, STRONG)), r, PLANS, SETTINGS)
    assert [o.quality for o in outcomes] == [None, None]


def test_a_cancelled_call_yields_its_cost_only() -> None:
    left = replace(GOOD, outcome=AttemptOutcome.CANCELLED)
    (only,) = outcomes_of(Decided(r := record(left)), r, PLANS, SETTINGS)
    assert (only.cost_usd, only.latency_ms, only.failed, only.quality) == (0.001, None, None, None)


def test_a_call_that_was_never_made_yields_nothing() -> None:
    never = replace(GOOD, outcome=AttemptOutcome.CANCELLED, cost_usd=0.0)
    assert outcomes_of(Decided(r := record(never)), r, PLANS, SETTINGS) == []


def test_a_reask_weighs_less_than_feedback() -> None:
    (sign,) = outcomes_of(Reasked("id", 0.95), record(GOOD), PLANS, SETTINGS)
    assert (sign.quality, sign.weight) == (0.0, 0.25)


def test_cached_answers_and_removed_plans_yield_nothing() -> None:
    assert outcomes_of(Decided(r := record(GOOD, choice=None)), r, PLANS, SETTINGS) == []
    assert outcomes_of(Decided(r := record(GOOD)), r, {}, SETTINGS) == []


def test_a_plan_that_was_never_called_yields_nothing() -> None:
    uncalled = Attempt("cheap", "", "", AttemptOutcome.FAILED, "no_healthy_deployment", 0.0)
    for r in (record(), record(uncalled)):
        assert outcomes_of(Decided(r), r, PLANS, SETTINGS) == []


@pytest.mark.parametrize("why", sorted(REQUEST_FAULTS))
def test_a_request_that_was_refused_says_nothing_of_the_arm(why: str) -> None:
    refused = replace(DOWN, why=why)
    for attempts in ((refused,), (refused, refused), (refused, SPARE)):
        assert outcomes_of(Decided(r := record(*attempts)), r, PLANS, SETTINGS) == []
    (whole,) = outcomes_of(Decided(r := record(refused, STRONG)), r, PLANS, SETTINGS)
    assert (whole.action.name, whole.failed, whole.cost_usd) == ("ladder", False, 0.02)


def test_a_fault_beside_a_refusal_is_a_failure() -> None:
    refused = replace(DOWN, why="provider_content_refused")
    down = replace(STRONG, outcome=AttemptOutcome.FAILED, why="provider_unavailable", cost_usd=0.0)
    (whole,) = outcomes_of(Decided(r := record(refused, down)), r, PLANS, SETTINGS)
    assert (whole.action.name, whole.failed, whole.quality) == ("ladder", True, 0.0)


def test_a_reported_failure_is_a_failure() -> None:
    r = replace(record(DOWN), mode=Mode.DECIDE, arm="cheap")
    assert outcomes_of(Decided(r), r, PLANS, SETTINGS)[0].failed is True


def test_a_correction_names_what_it_replaces() -> None:
    said = FeedbackGiven("id", 0.2, replaces=0.9)
    both = outcomes_of(said, record(GOOD), PLANS, SETTINGS)
    assert [(o.action.name, o.quality, o.replaces) for o in both] == [
        ("ladder", 0.2, 0.9),
        ("cheap", 0.2, 0.9),
    ]


def test_a_session_s_feedback_has_its_share_of_the_weight() -> None:
    said = FeedbackGiven("id", 0.9, session_share=0.25)
    both = outcomes_of(said, record(GOOD), PLANS, SETTINGS)
    assert [(o.action.name, o.quality, o.weight) for o in both] == [
        ("ladder", 0.9, 0.25),
        ("cheap", 0.9, 0.25),
    ]
    corrected = replace(said, quality=0.2, replaces=0.9)
    back = outcomes_of(corrected, record(GOOD), PLANS, SETTINGS)
    assert [(o.quality, o.replaces, o.weight) for o in back] == [(0.2, 0.9, 0.25)] * 2


def test_feedback_of_a_decision_s_own_takes_the_place_of_its_session_s() -> None:
    own = FeedbackGiven("id", 0.2, replaces=0.9, replaces_share=0.25)
    told = outcomes_of(own, record(GOOD), PLANS, SETTINGS)
    assert [(o.action.name, o.quality, o.replaces, o.weight) for o in told] == [
        ("ladder", 0.2, 0.9, 0.25),
        ("cheap", 0.2, 0.9, 0.25),
        ("ladder", 0.2, None, 0.75),
        ("cheap", 0.2, None, 0.75),
    ]
    alone = outcomes_of(replace(own, replaces_share=1.0), record(GOOD), PLANS, SETTINGS)
    assert [(o.quality, o.replaces, o.weight) for o in alone] == [(0.2, 0.9, 1.0)] * 2


def test_a_correction_takes_back_the_label_of_another_answer() -> None:
    r = record(replace(WEAK, agrees=False), STRONG)
    told = outcomes_of(FeedbackGiven("id", 1.0), r, PLANS, SETTINGS)
    assert [(o.action.name, o.quality, o.replaces) for o in told] == [
        ("ladder", 1.0, None),
        ("cheap", 0.0, None),
    ]
    back = outcomes_of(FeedbackGiven("id", 0.5, replaces=1.0), r, PLANS, SETTINGS)
    assert [(o.action.name, o.quality, o.replaces) for o in back] == [
        ("ladder", 0.5, 1.0),
        ("cheap", None, 0.0),
    ]


def test_silence_weighs_less_and_needs_an_answer() -> None:
    silence = FeedbackGiven("id", 0.8, by_default=True)
    both = outcomes_of(silence, record(GOOD), PLANS, SETTINGS)
    assert [(o.action.name, o.quality, o.weight) for o in both] == [
        ("ladder", 0.8, 0.25),
        ("cheap", 0.8, 0.25),
    ]
    assert outcomes_of(silence, record(DOWN), PLANS, SETTINGS) == []


def test_deployments_of_the_first_arm_are_one_call() -> None:
    """One was down, the next answered: the arm alone did well, at what both took."""
    answered = record(DOWN, GOOD)
    _, alone = outcomes_of(Decided(answered), answered, PLANS, SETTINGS)
    assert (alone.action.name, alone.failed) == ("cheap", False)
    assert (alone.cost_usd, alone.latency_ms) == (0.001, 150.0)
    said = outcomes_of(FeedbackGiven("id", 0.9), answered, PLANS, SETTINGS)
    assert [(o.action.name, o.quality) for o in said] == [("ladder", 0.9), ("cheap", 0.9)]


def test_a_first_arm_that_was_never_called_yields_nothing() -> None:
    none = Attempt("cheap", "", "", AttemptOutcome.FAILED, "no_healthy_deployment", 0.0)
    passed = record(none, STRONG)
    (whole,) = outcomes_of(Decided(passed), passed, PLANS, SETTINGS)
    assert whole.action.name == "ladder"


def test_a_reask_after_no_answer_blames_nobody_twice() -> None:
    again = Reasked("id", 0.95)
    assert outcomes_of(again, record(DOWN), PLANS, SETTINGS) == []
    assert len(outcomes_of(again, record(GOOD), PLANS, SETTINGS)) == 1


PRICES = (("cheap", 0.003, 0.001, 0.0005), ("ladder", 0.012, 0.001, 0.0005))
PRICED = replace(CHOICE, prices=PRICES)


def charged(attempt: Attempt, input_usd: float) -> Attempt:
    return replace(attempt, input_usd=input_usd)


def test_a_logged_price_is_learned_by_whatever_the_config_says_by_then() -> None:
    paid = record(charged(WEAK, 0.0004), STRONG, choice=PRICED)
    whole, alone, _ = outcomes_of(Decided(paid), paid, PLANS, SETTINGS)
    assert whole.action == Action("ladder", 0.012, 0.001, 0.0005)
    assert alone.action == Action("cheap", 0.003, 0.001, 0.0005)
    assert (whole.cost_usd, whole.input_usd) == (0.021, 0.0004)
    assert (alone.cost_usd, alone.input_usd) == (0.001, 0.0004)
    assert alone.cost_ratio == pytest.approx((0.001 - 0.0004) / 0.002)
    said, _ = outcomes_of(FeedbackGiven("id", 0.9), record(GOOD, choice=PRICED), PLANS, SETTINGS)
    assert said.action == whole.action


def test_records_without_prices_are_learned_by_the_plans_own() -> None:
    """Providers told the input apart before prices of requests were logged."""
    paid = record(charged(GOOD, 0.0004))
    for outcome in outcomes_of(Decided(paid), paid, PLANS, SETTINGS):
        plan = PLANS[outcome.action.name]
        assert outcome.action == Action(plan.name, plan.prior_cost_usd)
        assert outcome.input_usd is None
        assert outcome.cost_ratio == 0.001 / plan.prior_cost_usd


def test_a_first_rung_that_was_no_choice_pays_the_ladders_input() -> None:
    """Its guess is as much of the ladder's as that of a typical request."""
    choice = replace(CHOICE, prices=PRICES[1:])
    paid = record(charged(WEAK, 0.0004), STRONG, choice=choice)
    _, alone, blame = outcomes_of(Decided(paid), paid, PLANS, SETTINGS)
    assert alone.action.input_usd == 0.001
    assert alone.action.guess_usd == pytest.approx((0.012 - 0.001) * 0.001 / 0.004)
    assert blame.action == alone.action
    assert alone.input_usd == 0.0004


@pytest.mark.parametrize(
    ("attempts", "input_usd"),
    [
        ((DOWN, charged(GOOD, 0.0004)), 0.0004),
        ((DOWN, charged(SPARE, 0.002)), 0.002),
        ((DOWN,), 0.0),
        ((GOOD,), None),
    ],
    ids=["a sibling's", "that of who stood in", "nothing was charged", "not told apart"],
)
def test_the_input_that_counts_is_that_of_the_first_call_that_was_charged(
    attempts: tuple[Attempt, ...], input_usd: float | None
) -> None:
    paid = record(*attempts, choice=PRICED)
    whole, *_ = outcomes_of(Decided(paid), paid, PLANS, SETTINGS)
    assert whole.input_usd == input_usd


def test_a_long_request_that_another_arm_answers_is_no_dear_output() -> None:
    """A hundred thousand tokens of input for a thousandth of output: guesses were right."""
    long = replace(charged(SPARE, 0.3), cost_usd=0.311)
    over = record(DOWN, long, choice=PRICED)
    whole, *_ = outcomes_of(Decided(over), over, PLANS, SETTINGS)
    assert whole.cost_ratio == pytest.approx(0.011 / (0.012 - 0.001))
