"""The replay drives cascade, gates and learner as the service does, and shows what was called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import told

from bandit.adaptive.policy import NAME as ADAPTIVE
from bench.experiments.cascade.plans import PERFECT, SINGLE, plan_alone
from bench.experiments.cascade.replays import answers_of
from bench.lab.figures import Figures
from bench.lab.jobs import Job
from bench.lab.setup import Variant
from bench.lab.streams import Stream, draw

LAMBDA = 0.1
DRAWN = 0.02
"""Share of requests that a fixed policy's exploration may give to others."""


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    return told.stream(told.tiny.write(tmp_path / "told.parquet", told.columns()))


PROMISE = {"promise": {"max_bad_accept": 0.05, "confidence": 0.95}}


def alone(name: str, **options: object) -> Variant:
    return plan_alone(told.PLANS[name], options)


def job(variant: Variant, seed: int = 0) -> Job:
    return Job("told", LAMBDA, 0, variant, seed)


def same(one: Figures, other: Figures) -> bool:
    """But for the time they took."""
    return repr(replace(one, us=other.us)) == repr(other)


def hard_share(stream: Stream, arm: int = 0) -> float:
    return float((stream.data.quality[draw(stream, 0).rows, arm] < 0.5).mean())


def test_the_plain_rule_escalates_what_two_arms_disagree_on(stream: Stream) -> None:
    found = told.worker(stream).run(job(alone("agreement")))
    assert found.measures["escalated"] == pytest.approx(hard_share(stream), abs=DRAWN)
    assert found.measures["asked"] > 1 - DRAWN
    assert found.measures["bad"] == 0.0
    perfect = Variant("perfect", PERFECT, plans=(told.PLANS["rules"],))
    best = told.worker(stream).run(job(perfect))
    asking = LAMBDA * 5e-5 / stream.unit_usd
    assert found.whole.gain == pytest.approx(best.whole.gain - asking, abs=0.01)
    assert best.measures["escalated"] == hard_share(stream)


def test_the_rules_gate_serves_what_can_be_read(stream: Stream) -> None:
    found = told.worker(stream).run(job(alone("rules")))
    assert found.measures["escalated"] < DRAWN
    assert found.measures["bad"] == pytest.approx(hard_share(stream), abs=DRAWN)
    assert found.measures["asked"] == 0.0


def test_an_empty_answer_escalates_before_any_gate(stream: Stream) -> None:
    answers = dict(answers_of(stream.data, "told.parquet"))
    answers["small"] = tuple("" for _ in answers["small"])
    found = told.worker(stream, answers).run(job(alone("agreement")))
    assert found.measures["escalated"] > 1 - DRAWN
    assert found.measures["asked"] < DRAWN


def test_a_learned_gate_finds_out_that_agreement_tells(stream: Stream) -> None:
    found = told.worker(stream, calibrate=100).run(job(alone("learned")))
    assert found.measures["escalated"] == pytest.approx(hard_share(stream), abs=0.05)
    assert found.whole.gain > 0.03
    assert found.us[3] > 0


def test_outcomes_that_were_not_called_for_change_nothing(stream: Stream) -> None:
    """The strong arm is not called for prompts on which the cheap ones agree."""
    before = told.worker(stream).run(job(alone("agreement")))
    assert "large" not in before.shares
    easy = stream.data.quality[:, 0] == 1
    quality = stream.data.quality.copy()
    quality[easy, 2] = 0.3
    answers = dict(answers_of(stream.data, "told.parquet"))
    answers["large"] = tuple(
        "x" if e else said for e, said in zip(easy, answers["large"], strict=True)
    )
    other = replace(stream, data=replace(stream.data, quality=quality))
    after = told.worker(other, answers).run(job(alone("agreement")))
    assert (after.shares, after.measures["escalated"]) == (
        before.shares,
        before.measures["escalated"],
    )
    assert after.whole.reward == before.whole.reward
    quality[easy, 0] = 0.3
    assert told.worker(other, answers).run(job(alone("agreement"))).whole != after.whole


@pytest.mark.slow
def test_calibration_helps_and_a_replay_can_be_repeated(stream: Stream) -> None:
    singles = job(Variant("a", ADAPTIVE, vw=False))
    found = told.worker(stream, calibrate=60).run(singles)
    cold = told.worker(stream).run(singles)
    assert found.whole.gain > cold.whole.gain
    assert same(found, told.worker(stream, calibrate=60).run(singles))


def test_the_policy_takes_to_a_plan_that_pays(stream: Stream) -> None:
    plans = (told.PLANS["agreement"],)
    found = told.worker(stream, calibrate=100).run(
        job(Variant("a", ADAPTIVE, vw=False, plans=plans))
    )
    assert found.shares["agreement"] > 0.7
    assert found.whole.gain > 0.03


def test_audits_are_drawn_from_accepted_answers_and_charged(stream: Stream) -> None:
    plain = told.worker(stream).run(job(alone("agreement")))
    found = told.worker(stream, audit_share=0.5, feedback_share=0.0).run(job(alone("agreement")))
    assert plain.measures["audited"] == plain.measures["audit_cost"] == 0.0
    assert 0.3 < found.measures["audited"] / found.measures["cheap_served"] < 0.7
    assert found.measures["audit_cost"] == pytest.approx(
        LAMBDA * found.measures["audited"], rel=0.15
    )
    assert found.whole.reward == pytest.approx(
        plain.whole.reward - found.measures["audit_cost"], abs=0.01
    )


def test_answers_that_callers_judge_are_hardly_audited(stream: Stream) -> None:
    found = told.worker(stream, audit_share=0.5).run(job(alone("agreement")))
    assert 0 < found.measures["audited"] < 0.1


def test_a_plain_rule_has_no_use_for_audits_of_its_own(stream: Stream) -> None:
    """Answers that pass the certain checks alone have no gate whose labels could be biased."""
    assert told.worker(stream, audit_share=1.0).run(job(alone("rules"))).measures["audited"] == 0


def test_single_arms_are_their_recorded_outcomes(stream: Stream) -> None:
    rows = draw(stream, 0).rows
    for i, arm in enumerate(told.ARMS):
        found = told.worker(stream).run(job(Variant(arm, SINGLE)))
        assert found.whole.quality == pytest.approx(stream.data.quality[rows, i].mean())
        assert found.whole.gain <= 0
        assert found.measures["bad"] is None


def test_a_share_of_feedback_and_a_delay_still_end(stream: Stream) -> None:
    singles = job(Variant("a", ADAPTIVE, vw=False))
    found = told.worker(stream, feedback_share=0.1, delay=30).run(singles)
    full = told.worker(stream).run(singles)
    assert not same(found, full)
    assert np.isfinite(found.advantage).all()


@pytest.mark.slow
def test_what_is_promised_is_kept_at_a_price(stream: Stream) -> None:
    """Alone, the first arm says nothing of where it is wrong: no share of it can be accepted."""
    free = told.worker(stream, calibrate=100).run(job(alone("learned-alone")))
    found = told.worker(stream, calibrate=100).run(job(alone("learned-alone", **PROMISE)))
    assert free.measures["bad"] is not None
    assert free.measures["bad"] > 0.1
    assert found.measures["escalated"] > 1 - DRAWN
    agreed = told.worker(stream, calibrate=180).run(job(alone("learned", **PROMISE)))
    assert agreed.measures["cheap_served"] > 0.5
    assert agreed.measures["bad"] == 0.0
