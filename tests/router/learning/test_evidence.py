"""The ledger of evidence, what it teaches, and how gold corrects a judge."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from bandit import ContextShape, PolicySettings, Units, make_policy
from bandit.gates import Step
from bandit.risk.types import LabelSource
from router.domain.catalog import Plan
from router.domain.events import (
    ArmAnswer,
    Decided,
    Event,
    EvidenceBought,
    EvidenceSource,
    FeedbackGiven,
    is_drawn,
)
from router.domain.records import (
    Attempt,
    AttemptOutcome,
    Choice,
    DecisionRecord,
    Judged,
    LoggedContext,
    Mode,
    StepTaken,
    WeightSet,
    new_decision_id,
)
from router.learning.evidence import EvidenceLedger, KnownPrompt, renamed_ledger
from router.learning.gate_examples import examples_of, risk_labels_of
from router.learning.learner_state import LearnerState
from router.learning.rectifier import Rectifier
from router.learning.rewards import RewardSettings, outcomes_of
from router.learning.training import BatchTrainer, Trainer
from router.learning.upgrades import Upgrade
from router.ports.observer import Observer

PLANS = {
    "cheap": Plan("cheap", ("cheap",), 0.001),
    "strong": Plan("strong", ("strong",), 0.02),
    "ladder": Plan("ladder", ("cheap", "strong"), 0.01),
    "checked": Plan("checked", ("cheap", "strong"), 0.01, "learned"),
}
SHAPE = ContextShape(clusters=4, axes=2, features=3)
SETTINGS = RewardSettings()
JUDGE = EvidenceSource.JUDGE


def record(number: int = 1, plan: str = "cheap", share: float = 1.0) -> DecisionRecord:
    choice = Choice(
        plan=plan,
        propensity=0.5,
        explored=False,
        probabilities=(("cheap", 0.5), ("strong", 0.5)),
        policy="adaptive",
        policy_version=1,
        weights=WeightSet(1, 0.1, 0, 0.5),
        context=LoggedContext((0.75, 0.25, 0.0, 0.0), (0.0, 0.0), (0.0, 0.0, 0.0), "v1"),
    )
    served = Attempt("cheap", "d", "m", AttemptOutcome.ACCEPTED, "passed", 100.0, cost_usd=0.001)
    name = new_decision_id(1_700_000_000_000 + number * 1_000, number)
    return DecisionRecord(
        name,
        "t",
        1_700_000_000_000 + number * 1_000,
        Mode.COMPLETE,
        choice=choice,
        attempts=(served,),
        arm="cheap",
        evidence_share=share,
    )


def bought(of: DecisionRecord, cheap: float, strong: float, **more: object) -> EvidenceBought:
    arms = (
        ArmAnswer("cheap", cheap, 0.001, 100.0, served=True, terms="one"),
        ArmAnswer("strong", strong, 0.02, 300.0, terms="two"),
    )
    given = {"source": JUDGE, "propensity": 0.5, "arms": arms, "cost_usd": 0.03} | more
    return EvidenceBought(of.id, **given)  # type: ignore[arg-type]


def test_every_plan_without_a_gate_is_one_outcome_of_the_same_prompt() -> None:
    asked = record()
    found = outcomes_of(bought(asked, 0.25, 1.0), asked, PLANS, SETTINGS)
    told = {o.action.name: (o.quality, o.cost_usd, o.latency_ms) for o in found}
    assert told == {
        "cheap": (0.25, 0.001, 100.0),
        "strong": (1.0, 0.02, 300.0),
        "ladder": (0.25, 0.001, 100.0),
    }
    assert {(o.prompt, o.of) for o in found} == {(1, 3)}
    assert {o.propensity for o in found} == {1.0}


def test_a_rejected_answer_sends_the_ladder_on() -> None:
    asked = record()
    event = bought(asked, 0.25, 1.0)
    weak = replace(event.arms[0], passed=False)
    found = outcomes_of(replace(event, arms=(weak, event.arms[1])), asked, PLANS, SETTINGS)
    (ladder,) = [o for o in found if o.action.name == "ladder"]
    assert (ladder.quality, ladder.cost_usd) == (1.0, pytest.approx(0.021))


def test_an_answer_without_a_score_teaches_its_cost_alone() -> None:
    asked = record()
    event = bought(asked, 0.25, 1.0)
    silent = replace(event.arms[1], quality=None)
    found = outcomes_of(replace(event, arms=(event.arms[0], silent)), asked, PLANS, SETTINGS)
    told = {o.action.name: (o.quality, o.cost_usd, o.of) for o in found}
    assert told["strong"] == (None, 0.02, 0)
    assert told["cheap"] == (0.25, 0.001, 2)


def test_a_policy_learns_of_every_arm() -> None:
    policy = make_policy("adaptive", settings(), "v1", np.random.default_rng(0))
    asked = [record(n) for n in range(1, 60)]
    for one in asked:
        policy.learn(outcomes_of(bought(one, 0.1, 0.9), one, PLANS, SETTINGS))
    assert policy.learned == 59 * 3


def settings() -> PolicySettings:
    return PolicySettings(units=Units(0.02), shape=SHAPE, vw=frozenset())


def judged(plan: str = "checked") -> DecisionRecord:
    taken = StepTaken(Step.ACCEPT, 0.9, ((Step.ACCEPT, 0.9), (Step.ESCALATE, 0.1)), 0.8)
    saw = Judged("learned", "1", (0.5, -1.0), (taken,), strong_usd=0.02)
    return replace(record(plan=plan), judged=saw)


def test_a_promise_weighs_the_label_by_the_chance_of_any_label() -> None:
    asked = judged()
    event = bought(asked, 0.25, 1.0, audit_share=0.2)
    (label,) = risk_labels_of(event, asked)
    assert (label.bad, label.probability, label.source) == (0.75, 0.6, LabelSource.AUDIT)
    assert label.score == 0.8


def test_a_majority_is_no_label_of_a_promise() -> None:
    """It is found more often where the answer is right: its labels tell too few bad ones."""
    asked = judged()
    event = bought(asked, 1.0, 1.0, source=EvidenceSource.AGREEMENT)
    assert risk_labels_of(event, asked) == []
    assert risk_labels_of(bought(asked, 1.0, 1.0), asked)


def test_a_gate_learns_what_first_and_strong_were_worth() -> None:
    asked = judged()
    (found,) = examples_of(bought(asked, 0.25, 1.0), asked, PLANS, SETTINGS)
    assert (found.example.first_ok, found.example.strong_ok) == (0.25, 1.0)
    assert found.example.repeated


def test_a_plan_whose_gate_ran_is_known_by_what_it_came_to() -> None:
    asked = judged()
    found = outcomes_of(bought(asked, 0.25, 1.0), asked, PLANS, SETTINGS)
    (whole,) = [o for o in found if o.action.name == "checked"]
    assert (whole.quality, whole.cost_usd) == (0.25, 0.001)


def test_renamed_arms_are_told_by_their_names_today() -> None:
    upgrade = Upgrade(None, {"cheap": "small"})  # type: ignore[arg-type] - no context is read
    event = upgrade.event(bought(record(), 0.1, 0.2))
    assert isinstance(event, EvidenceBought)
    assert [answer.arm for answer in event.arms] == ["small", "strong"]


class TestTheLedger:
    def test_counts_what_is_known_of_arms_as_they_are(self) -> None:
        ledger = EvidenceLedger()
        for number in range(1, 11):
            asked = record(number)
            ledger.observe(Decided(asked), asked)
            ledger.observe(bought(asked, 0.5, 0.5, value_usd=0.25), asked)
        assert (ledger.prompts, ledger.bought) == (10, 10)
        assert (ledger.spent_usd, ledger.worth_usd) == (pytest.approx(0.3), pytest.approx(2.5))
        assert (ledger.known("cheap", "one"), ledger.known("strong", "two")) == (10, 10)
        assert ledger.known("cheap", "other terms") == 0
        assert ledger.known("new", "") == 0
        assert ledger.near((1.0, 0.0)) == pytest.approx(7.5)
        # Seen to change after the sixth of them.
        assert ledger.known("cheap", "one", record(6).created_ms) == 4

    @pytest.mark.parametrize("change", [{"terms": "three"}, {"model": "gpt-x-2"}])
    def test_an_arm_that_changed_is_unknown(self, change: dict[str, str]) -> None:
        ledger = EvidenceLedger()
        for number in range(1, 6):
            asked = record(number)
            event = bought(asked, 0.5, 0.5)
            named = replace(event.arms[1], model="gpt-x-1")
            ledger.observe(replace(event, arms=(event.arms[0], named)), asked)
        asked = record(9)
        event = bought(asked, 0.5, 0.5)
        changed = replace(event.arms[1], **({"model": "gpt-x-1"} | change))
        ledger.observe(replace(event, arms=(event.arms[0], changed)), asked)
        assert ledger.known("strong", changed.terms) == 1
        assert ledger.known("cheap", "one") == 6

    def test_feedback_on_answers_that_were_served_is_known_as_well(self) -> None:
        ledger = EvidenceLedger()
        for number in range(1, 9):
            asked = record(number, share=1.0 if number <= 3 else 0.0)
            ledger.observe(Decided(asked), asked)
            if number <= 3:
                ledger.observe(bought(asked, 0.5, 0.9), asked)
            ledger.observe(FeedbackGiven(asked.id, 1.0), asked)
        for each in (ledger, EvidenceLedger(json.loads(json.dumps(ledger.state())))):
            assert each.labels("cheap", "one") == 3 + 5
            assert each.labels("strong", "two") == 3
            assert each.labels("cheap", "other terms") == 0
            assert each.labels("cheap", "one", record(2).created_ms) == 1
        kept = EvidenceLedger(renamed_ledger(ledger.state(), {"cheap": "small"}))
        assert kept.labels("small", "one") == 8
        asked = record(9)
        event = bought(asked, 0.5, 0.5)
        changed = replace(event.arms[0], terms="another model")
        ledger.observe(replace(event, arms=(changed, event.arms[1])), asked)
        assert ledger.labels("cheap", "another model") == 1

    def test_goes_on_from_a_state_without_feedback(self) -> None:
        ledger, asked = EvidenceLedger(), record()
        ledger.observe(bought(asked, 0.5, 0.9), asked)
        state = ledger.state()
        del state["heard"]
        assert EvidenceLedger(state).labels("cheap", "one") == 1
        assert renamed_ledger(state, {})["heard"] == []

    def test_a_partial_purchase_is_paid_and_not_known(self) -> None:
        ledger, asked = EvidenceLedger(), record()
        event = bought(asked, 0.5, 0.5)
        ledger.observe(replace(event, arms=(event.arms[0],)), asked)
        assert (ledger.prompts, ledger.bought, ledger.spent_usd) == (0, 1, 0.03)

    def test_is_blank_where_none_is_ever_bought(self) -> None:
        ledger = EvidenceLedger()
        for number in range(1, 5):
            asked = record(number, share=0.0)
            ledger.observe(Decided(asked), asked)
            ledger.observe(FeedbackGiven(asked.id, 1.0), asked)
        assert ledger.is_blank

    def test_reckons_how_many_requests_come(self) -> None:
        ledger = EvidenceLedger()
        for number in range(1, 3 * 8640, 10):  # one every ten seconds, for three days
            asked = replace(record(1), created_ms=number * 10_000)
            ledger.observe(Decided(asked), asked)
        assert ledger.requests_per_day == pytest.approx(864, rel=0.02)

    def test_goes_on_from_its_state_bit_for_bit(self) -> None:
        events = mixed(40)
        whole, half = EvidenceLedger(), EvidenceLedger()
        for index, (event, of) in enumerate(events):
            whole.observe(event, of)
            half.observe(event, of)
            if index == 50:
                half = EvidenceLedger(json.loads(json.dumps(half.state())))
        assert half.state() == whole.state()
        assert whole.rectifier.gold > 10

    @pytest.mark.parametrize("damage", [{"facts": [1.0]}, {"facts": ["x"] * 8}, {"times": 3}])
    def test_refuses_what_is_no_state(self, damage: dict[str, object]) -> None:
        state = EvidenceLedger().state() | damage
        with pytest.raises((ValueError, TypeError, KeyError)):
            EvidenceLedger(state)


def mixed(prompts: int) -> list[tuple[Event, DecisionRecord]]:
    """Decisions, evidence and feedback; of every second one the feedback comes first."""
    found: list[tuple[Event, DecisionRecord]] = []
    for number in range(1, prompts + 1):
        asked = record(number)
        told = FeedbackGiven(asked.id, float(number % 3 > 0))
        event = bought(asked, 0.5 + 0.4 * (number % 3 > 0), 0.9)
        rest: list[Event] = [told, event] if number % 2 else [event, told]
        found += [(one, asked) for one in (Decided(asked), *rest)]
    return found


def trained(batches: Sequence[int]) -> bytes:
    """Returns the snapshot after the mixed events, cut into batches."""
    events = mixed(30)
    records = {of.id: of for _, of in events}

    async def find(names: Sequence[str]) -> Sequence[DecisionRecord | None]:
        return [records.get(name) for name in names]

    policy = make_policy("adaptive", settings(), "v1", np.random.default_rng(0))
    state = LearnerState(policy)
    trainer = BatchTrainer(find, Trainer(PLANS, SETTINGS, Observer()))
    log = [(f"0-{place}", event) for place, (event, _) in enumerate(events, start=1)]
    for start, end in zip((0, *batches), (*batches, len(log)), strict=True):
        asyncio.run(trainer.train(state, log[start:end]))
    return state.save()


def test_how_the_log_is_cut_makes_no_difference() -> None:
    assert trained([7, 8, 40]) == trained([])


class TestTheRectifier:
    """A judge that is lenient to one arm, and gold on few of its answers."""

    def judge(self, answers: int, gold_every: int, leniency: dict[str, float]) -> Rectifier:
        rng, rectifier = np.random.default_rng(3), Rectifier()
        good = {"cheap": 0.5, "strong": 0.8}
        for number in range(answers):
            for arm, share in good.items():
                truth = float(rng.random() < share)
                score = min(1.0, 0.15 + 0.7 * truth + leniency[arm])
                rectifier.see(arm, score)
                if number % gold_every == 0:
                    rectifier.compare(arm, score, truth)
        return rectifier

    def mean(self, rectifier: Rectifier, arm: str, share: float, lenient: float) -> float:
        scores = [min(1.0, 0.15 + 0.7 * truth + lenient) for truth in (0.0, 1.0)]
        low, high = (rectifier.rectified(arm, score) for score in scores)
        return (1 - share) * low + share * high

    def test_gold_takes_an_arms_leniency_back(self) -> None:
        lenient = {"cheap": 0.15, "strong": 0.0}
        rectifier = self.judge(4_000, 5, lenient)
        raw = Rectifier()
        assert self.mean(raw, "cheap", 0.5, 0.15) - self.mean(raw, "strong", 0.8, 0) > -0.1
        for arm, share in (("cheap", 0.5), ("strong", 0.8)):
            mean = self.mean(rectifier, arm, share, lenient[arm])
            assert mean == pytest.approx(share, abs=0.03)

    def test_scores_stay_within_bounds(self) -> None:
        rectifier = self.judge(500, 2, {"cheap": 0.15, "strong": 0.0})
        scores = [rectifier.rectified(arm, s) for arm in ("cheap", "strong") for s in (0, 0.5, 1)]
        assert all(0 <= score <= 1 for score in scores)

    def test_without_gold_a_score_is_taken_as_it_is(self) -> None:
        rectifier = Rectifier()
        rectifier.see("cheap", 0.7)
        assert rectifier.rectified("cheap", 0.7) == 0.7
        assert rectifier.weight(EvidenceSource.VERIFIER) == 1.0
        assert rectifier.weight(JUDGE) == pytest.approx(0.6)

    def test_a_judge_weighs_by_what_it_tells_of_gold(self) -> None:
        rng = np.random.default_rng(1)
        blind, sharp = Rectifier(), Rectifier()
        for _ in range(400):
            truth = float(rng.random() < 0.6)
            blind.compare("cheap", float(rng.random()), truth)
            sharp.compare("cheap", 0.1 + 0.8 * truth, truth)
        assert blind.weight(JUDGE) == pytest.approx(0.05, abs=0.01)
        assert sharp.weight(JUDGE) > 0.95

    def test_gold_that_is_all_alike_tells_nothing_of_the_judge(self) -> None:
        rectifier = Rectifier()
        for score in (0.2, 0.9, 0.5, 0.7) * 50:
            rectifier.compare("cheap", score, 1.0)
        assert rectifier.weight(JUDGE) == pytest.approx(0.6)


def test_half_of_the_decisions_are_drawn_at_a_half() -> None:
    names = [new_decision_id(number, number * 7919) for number in range(4_000)]
    assert sum(is_drawn(name, 0.5) for name in names) == pytest.approx(2_000, abs=150)
    assert all(is_drawn(name, 1.0) and not is_drawn(name, 0.0) for name in names)
    # It is another draw than the one by which feedback on sessions is measured.
    shared = [FeedbackGiven(n, 1.0, session_share=0.5).is_measured for n in names]
    both = sum(is_drawn(n, 0.5) and one for n, one in zip(names, shared, strict=True))
    assert both == pytest.approx(1_000, abs=120)


def test_a_ledger_goes_on_under_the_names_in_use() -> None:
    ledger = EvidenceLedger()
    for event, of in mixed(9):
        ledger.observe(event, of)
    asked = record(10)
    ledger.observe(bought(asked, 0.5, 0.9), asked)
    kept = EvidenceLedger(renamed_ledger(ledger.state(), {"cheap": "small"}))
    assert (kept.known("small", "one"), kept.known("cheap", "one")) == (10, 0)
    assert kept.rectifier.shift("small") == ledger.rectifier.shift("cheap") != 0
    gold = kept.rectifier.gold
    kept.observe(FeedbackGiven(asked.id, 1.0), asked)
    assert kept.rectifier.gold == gold + 1


def calibrated(count: int, at_ms: float = 5_000.0) -> EvidenceLedger:
    ledger = EvidenceLedger()
    one = KnownPrompt({"cheap": 0.0, "strong": 1.0}, (0.75, 0.25, 0.0, 0.0))
    ledger.calibrate([one] * count, {"cheap": "c1", "strong": "s1"}, 0.25, at_ms)
    return ledger


def test_calibrated_prompts_are_known_on_their_terms() -> None:
    ledger = EvidenceLedger(json.loads(json.dumps(calibrated(120).state())))
    assert (ledger.prompts, ledger.calibrated, ledger.bought) == (120, 120, 0)
    assert (ledger.calibrated_usd, ledger.spent_usd, ledger.newest_ms) == (0.25, 0.0, 5_000.0)
    assert (ledger.known("cheap", "c1"), ledger.known("cheap", "c2")) == (120, 0)
    assert ledger.known("cheap", "c1", changed_ms=6_000.0) == 0
    assert ledger.near((1.0, 0.0, 0.0, 0.0)) == pytest.approx(90)
    assert ledger.spread > 0.7
    assert not ledger.is_blank


def test_requests_are_not_counted_before_any_may_be_bought_of() -> None:
    ledger = calibrated(10)
    before = ledger.state()
    ledger.observe(Decided(record(1, share=0.0)), record(1, share=0.0))
    assert ledger.state() == before
    ledger.observe(Decided(record(2, share=0.5)), record(2, share=0.5))
    assert ledger.requests_per_day > 0


def test_the_first_purchase_after_a_calibration_tells_the_model() -> None:
    ledger = calibrated(10)
    for number, model in ((1, "m-1"), (2, "m-1"), (3, "m-2")):
        arms = (
            ArmAnswer("cheap", 1.0, 0.001, model=model, terms="c1"),
            ArmAnswer("strong", 1.0, 0.02, terms="s1"),
        )
        seen = record(number)
        ledger.observe(EvidenceBought(seen.id, JUDGE, 1.0, arms), seen)
        assert ledger.known("cheap", "c1") == (10 + number if model == "m-1" else 1)


def answered_as(of: DecisionRecord, model: str) -> EvidenceBought:
    event = bought(of, 0.5, 0.5)
    return replace(event, arms=(event.arms[0], replace(event.arms[1], model=model)))


def test_deployments_of_an_arm_may_answer_under_names_of_their_own() -> None:
    """Else an arm with two providers would be asked as often as a new one for ever."""
    ledger = EvidenceLedger()
    for number in range(1, 61):
        if number == 30:
            ledger = EvidenceLedger(json.loads(json.dumps(ledger.state())))
        seen = record(number)
        ledger.observe(answered_as(seen, f"strong-of-{number % 2}"), seen)
    assert ledger.known("strong", "two") == 59
    ledger.observe(answered_as(record(70), "strong-next"), record(70))
    assert ledger.known("strong", "two") == 1


def test_names_of_models_are_bounded() -> None:
    ledger = EvidenceLedger()
    for number in range(1, 61):
        ledger.observe(answered_as(record(number), f"m-{number}"), record(number))
    assert max(map(len, ledger.state()["terms"])) <= 2 + 8


def lenient() -> EvidenceLedger:
    """Return what is known of a judge that has told 0.9 of answers that are worth 0.2."""
    ledger = EvidenceLedger()
    for number in range(1, 61):
        seen = record(number)
        ledger.observe(bought(seen, 0.9, 0.5), seen)
        ledger.observe(FeedbackGiven(seen.id, 0.2), seen)
    return ledger


def test_a_verifier_is_taken_as_it_is_after_a_judge() -> None:
    ledger, seen = lenient(), record(99)
    found = ledger.observe(bought(seen, 1.0, 0.75, source=EvidenceSource.VERIFIER), seen)
    assert found is not None
    assert [answer.quality for answer in found.event.arms] == [1.0, 0.75]
    assert found.weight == 1.0
    again = ledger.observe(bought(record(100), 0.9, 0.5), record(100))
    assert again is not None
    assert (again.event.arms[0].quality or 0.0) < 0.5


def test_what_was_found_of_a_judge_is_not_held_against_a_majority() -> None:
    ledger, seen = lenient(), record(99)
    found = ledger.observe(bought(seen, 1.0, 1.0, source=EvidenceSource.AGREEMENT), seen)
    assert found is not None
    assert [answer.quality for answer in found.event.arms] == [1.0, 1.0]
    assert ledger.rectifier.gold == 0
    kept = EvidenceLedger(json.loads(json.dumps(ledger.state())))
    assert kept.state() == ledger.state()


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_clock_that_was_ahead_does_not_stop_time(ahead: int) -> None:
    """One request of ten years ahead, the first one or the second; then one an hour."""
    ledger = EvidenceLedger()
    for number in range(1_000):
        made_ms = 1_700_000_000_000 + number * 3_600_000
        jump_ms = 10 * 365 * 86_400_000 if number == ahead else 0
        seen = replace(record(1), created_ms=made_ms + jump_ms)
        ledger.observe(Decided(seen), seen)
    assert ledger.requests_per_day == pytest.approx(24, rel=0.1)
