"""Gate examples, risk labels and outcomes of judged decisions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bandit.gates import GateExample, Step
from bandit.risk.types import LabelSource
from router.domain.catalog import Plan
from router.domain.events import Audited, Decided, Event, FeedbackGiven, Reasked
from router.domain.records import (
    JUDGED,
    Attempt,
    AttemptOutcome,
    Choice,
    DecisionRecord,
    Judge,
    Judged,
    LoggedContext,
    Mode,
    StepTaken,
    WeightSet,
)
from router.learning.gate_examples import RiskLabel, examples_of, risk_labels_of
from router.learning.rewards import RewardSettings, outcomes_of

PLANS = {
    "cheap": Plan("cheap", ("cheap",), 0.001),
    "checked": Plan("checked", ("cheap", "strong"), 0.004, "learned", "other"),
}
CHOICE = Choice(
    plan="checked",
    propensity=0.4,
    explored=False,
    probabilities=(("cheap", 0.6), ("checked", 0.4)),
    policy="adaptive",
    policy_version=3,
    weights=WeightSet(1, 0.1, 0, 0.5),
    context=LoggedContext((1.0, 0.0), (0.5,), (0.1, 0.2), "v1"),
)
TAKEN = StepTaken(Step.ACCEPT, 0.9, ((Step.ACCEPT, 0.9), (Step.ESCALATE, 0.1)), 0.8)
SAW = Judged("learned", "1", (0.5, -1.0), (TAKEN,), second_usd=0.001, strong_usd=0.02)
BOTH = replace(SAW, second_signals=(0.25, 0.0), agreement=0.0)
SETTINGS = RewardSettings(implicit_weight=0.25, audit_weight=0.5)


def spoke(arm: str, outcome: AttemptOutcome, *, agrees: bool | None = None) -> Attempt:
    why = JUDGED if outcome is AttemptOutcome.ESCALATED else "passed"
    return Attempt(arm, "d", "m", outcome, why, 10.0, cost_usd=0.03, agrees=agrees)


FIRST = spoke("cheap", AttemptOutcome.ACCEPTED)
WEAK = spoke("cheap", AttemptOutcome.ESCALATED, agrees=False)
OTHER = spoke("other", AttemptOutcome.SECOND_OPINION, agrees=True)
STRONG = spoke("strong", AttemptOutcome.ACCEPTED)


def record(*attempts: Attempt, judged: Judged | None = SAW) -> DecisionRecord:
    served = next((a.arm for a in attempts if a.outcome is AttemptOutcome.ACCEPTED), "")
    return DecisionRecord(
        "id", "t", 0, Mode.COMPLETE, choice=CHOICE, attempts=attempts, arm=served, judged=judged
    )


def examples(event: Event, of: DecisionRecord) -> list[GateExample]:
    found = examples_of(event, of, PLANS, SETTINGS)
    assert {one.plan for one in found} <= {"checked"}
    return [one.example for one in found]


def labels(example: GateExample) -> tuple[float | None, float | None, float | None]:
    return example.first_ok, example.second_ok, example.strong_ok


def test_feedback_labels_the_served_answer_and_its_equals() -> None:
    (told,) = examples(FeedbackGiven("id", 1.0), record(WEAK, OTHER, STRONG, judged=BOTH))
    assert labels(told) == (0.0, 1.0, 1.0)
    assert (told.seen.agreement, told.weight) == (0.0, 1.0)
    assert told.seen.second is not None
    assert np.array_equal(told.seen.second, [0.25, 0.0])


def test_an_answer_unlike_a_wrong_one_stays_unlabelled() -> None:
    for quality in (0.0, 0.9):
        (told,) = examples(FeedbackGiven("id", quality), record(WEAK, OTHER, STRONG, judged=BOTH))
        assert labels(told) == (None, quality, quality)


def test_answers_that_cannot_be_compared_stay_unlabelled() -> None:
    open_text = replace(WEAK, agrees=None)
    (told,) = examples(FeedbackGiven("id", 1.0), record(open_text, STRONG))
    assert labels(told) == (None, None, 1.0)


def test_a_call_is_an_example_of_agreement_and_the_strong_arms_cost() -> None:
    assert examples(Decided(r := record(FIRST)), r) == []
    (told,) = examples(Decided(r := record(WEAK, STRONG)), r)
    assert (labels(told), told.strong_cost_ratio) == ((None, None, None), 1.5)
    (told,) = examples(Decided(r := record(FIRST, OTHER, judged=BOTH)), r)
    assert (told.strong_cost_ratio, told.seen.agreement) == (None, 0.0)


def test_an_input_of_known_price_says_nothing_of_the_guess() -> None:
    """Output cost three times the guess of 0.004, whatever the cache did to the input."""
    saw = replace(SAW, strong_usd=0.02, strong_input_usd=0.016)
    for input_usd, cost_usd in ((0.016, 0.028), (0.002, 0.014), (0.0, 0.028)):
        answer = replace(STRONG, input_usd=input_usd, cost_usd=cost_usd)
        (told,) = examples(Decided(r := record(WEAK, answer, judged=saw)), r)
        assert told.strong_cost_ratio == pytest.approx(3.0)


def test_records_that_know_no_input_teach_the_ratio_of_the_whole_price() -> None:
    (told,) = examples(Decided(r := record(WEAK, replace(STRONG, input_usd=0.01))), r)
    assert told.strong_cost_ratio == 1.5


def test_a_price_without_a_guess_teaches_no_ratio() -> None:
    saw = replace(SAW, strong_usd=0.02, strong_input_usd=0.02)
    assert examples(Decided(r := record(WEAK, STRONG, judged=saw)), r) == []


def test_only_the_call_itself_is_an_example_of_agreement() -> None:
    r = record(WEAK, OTHER, STRONG, judged=BOTH)
    (first,) = examples(Decided(r), r)
    (later,) = examples(FeedbackGiven("id", 1.0), r)
    assert (first.repeated, later.repeated) == (False, True)


def test_a_verifiers_score_is_a_label() -> None:
    (told,) = examples(Decided(r := record(FIRST, judged=replace(SAW, verified=0.7))), r)
    assert (labels(told), told.weight) == ((0.7, None, None), 1.0)


def test_an_audit_weighs_less_and_is_no_outcome_of_the_plan() -> None:
    event = Audited("id", 0.0, 0.02, 0.01)
    (told,) = examples(event, record(FIRST))
    assert (labels(told), told.weight) == ((0.0, None, None), 0.5)
    assert outcomes_of(event, record(FIRST), PLANS, SETTINGS) == []


def test_a_reask_is_an_example_of_less_weight() -> None:
    (told,) = examples(Reasked("id", 0.95), record(FIRST))
    assert (labels(told), told.weight) == ((0.0, None, None), 0.25)


def test_a_session_s_feedback_is_a_light_example_and_no_risk_label() -> None:
    said = FeedbackGiven("id", 1.0, session_share=0.25)
    (told,) = examples(said, record(FIRST))
    assert (labels(told), told.weight) == ((1.0, None, None), 0.25)
    for share in (0.25, 1.0):
        assert risk_labels_of(replace(said, session_share=share), record(FIRST)) == []


def test_decisions_without_a_gate_yield_no_examples() -> None:
    said = FeedbackGiven("id", 1.0)
    assert examples(said, record(FIRST, judged=None)) == []
    assert examples(said, replace(record(FIRST), choice=None)) == []
    assert examples_of(said, record(FIRST), {}, SETTINGS) == []


def test_an_escalation_by_the_gate_does_not_blame_the_arm() -> None:
    kept = outcomes_of(Decided(r := record(WEAK, STRONG)), r, PLANS, SETTINGS)
    assert [(o.action.name, o.quality) for o in kept] == [("checked", None), ("cheap", None)]


def test_an_answer_unlike_a_right_one_blames_its_arm() -> None:
    told = outcomes_of(FeedbackGiven("id", 1.0), record(WEAK, STRONG), PLANS, SETTINGS)
    assert [(o.action.name, o.quality) for o in told] == [("checked", 1.0), ("cheap", 0.0)]


def test_a_served_second_opinion_is_no_failure_of_the_plan() -> None:
    served = replace(OTHER, outcome=AttemptOutcome.ACCEPTED)
    (whole, *_) = outcomes_of(Decided(r := record(WEAK, served)), r, PLANS, SETTINGS)
    assert (whole.failed, whole.quality) == (False, None)


def test_accepted_and_withheld_answers_yield_risk_labels() -> None:
    said = risk_labels_of(Audited("id", 0.25, 0.02), record(FIRST))
    assert said == [RiskLabel("checked", 0.8, 0.75, 0.02, LabelSource.AUDIT, "t")]
    said = risk_labels_of(FeedbackGiven("id", 1.0), record(FIRST))
    assert said == [RiskLabel("checked", 0.8, 0.0, 1.0, LabelSource.FEEDBACK, "t")]
    withheld = replace(TAKEN, step=Step.ESCALATE, by=Judge.PROMISE, instead=Step.ACCEPT)
    held = record(WEAK, STRONG, judged=replace(SAW, steps=(withheld,)))
    assert risk_labels_of(Decided(held), held) == [
        RiskLabel("checked", 0.8, 1.0, 1.0, LabelSource.AUDIT, "t")
    ]


def test_answers_the_gate_rejects_yield_no_risk_labels() -> None:
    escalated = replace(TAKEN, step=Step.ESCALATE)
    for event in (FeedbackGiven("id", 1.0), Decided(record(WEAK, STRONG))):
        assert (
            risk_labels_of(event, record(WEAK, STRONG, judged=replace(SAW, steps=(escalated,))))
            == []
        )
    assert risk_labels_of(Decided(record(FIRST)), record(FIRST)) == []
