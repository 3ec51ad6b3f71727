"""Plans whose gate judges, priced through that gate with the answers already paid for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from bandit.gates import Gate, GateSettings, make_gate
from bandit.risk import Promise, PromiseSettings
from router.domain.catalog import Plan
from router.gates.format_checks import FormatCheckSettings as Checks
from router.gates.signals import N_SIGNALS, SIGNALS_VERSION
from router.learning.learner_state import LearnerState
from router.serving.request_prices import RequestPrices
from router.tools.calibrate.analysis.calibration import StudySettings, study
from router.tools.calibrate.analysis.plan_simulation import (
    CollectedTrial,
    JudgedResults,
    SimulationSettings,
    simulated,
)
from router.tools.calibrate.analysis.prices import PromptPrices
from router.tools.calibrate.collect.arm_client import Missing
from router.tools.calibrate.collect.collector import CollectedPrompt
from tests.router.tools.calibrate.prompt_sets import (
    CATALOGUE,
    MAP,
    UTILITY,
    answered,
    case,
    context,
    failed,
    fresh,
)

CHECKED = Plan("checked", ("cheap", "strong"), 0.004, "learned")
WITH = replace(CATALOGUE, plans={**CATALOGUE.plans, "checked": CHECKED})
PRICED_USD = {"cheap": 15e-6, "strong": 15e-6}
"""15 tokens at one dollar per million."""
UNSURE = "I'm not sure, I cannot tell for certain. Perhaps 4?"


async def no_embedding(text: str) -> np.ndarray:
    raise AssertionError(text)


SETTINGS = SimulationSettings(WITH, Checks(), UTILITY.weights, no_embedding)


def gates() -> Mapping[str, Gate]:
    settings = GateSettings(UTILITY.units, MAP.shape, N_SIGNALS, SIGNALS_VERSION)
    return {"checked": make_gate("learned", settings, MAP.version, np.random.default_rng(0))}


def cases_of(count: int) -> list[CollectedPrompt]:
    """The cheap arm is right on every other prompt, and says so when it is not sure."""
    made = []
    for number in range(count):
        right = number % 2 == 0
        reply = answered("cheap", "The answer is 4." if right else UNSURE)
        made.append(case(number, {"cheap": float(right), "strong": 1.0}, cheap=reply))
    return made


async def priced_of(cases: list[CollectedPrompt], learned: LearnerState) -> list[JudgedResults]:
    contexts = [context(0)] * len(cases)
    return await simulated(cases, contexts, learned, SETTINGS, gates)


async def test_a_judged_plan_is_valued_through_its_gate() -> None:
    cases, learned = cases_of(120), LearnerState(fresh(), gates())
    found = [one["checked"] for one in await priced_of(cases, learned)]
    assert np.mean([one.quality for one in found]) > 0.95
    climbed = [one.latency_ms > 100 for one in found]
    assert np.mean(climbed[1::2]) > 0.9
    assert learned.gates["checked"].learned == len(cases)


@pytest.mark.slow
async def test_judged_plans_are_studied_like_the_others() -> None:
    cases = cases_of(20)
    priced = await priced_of(cases, LearnerState(fresh(), gates()))
    how = StudySettings(WITH, Checks(), UTILITY, fresh, "adaptive", seed=0)
    assert study(cases, [context(0)] * 20, priced, how).complete == 20
    assert study(cases, [context(0)] * 20, [{}] * 20, how).complete == 0


async def test_every_rung_that_is_called_is_paid() -> None:
    trial = CollectedTrial(case(0, {"cheap": 1.0, "strong": 1.0}), context(0), SETTINGS)
    record = await trial.call(CHECKED, {})
    assert (record.arm, record.cost_usd) == ("cheap", pytest.approx(PRICED_USD["cheap"]))
    assert trial.result(record).quality == 1.0
    late = case(0, {"cheap": 0.0, "strong": 0.5}, cheap=failed("cheap"))
    trial = CollectedTrial(late, context(0), SETTINGS)
    record = await trial.call(CHECKED, {})
    result = trial.result(record)
    assert (record.arm, result.quality, result.failed) == ("strong", 0.5, False)
    assert result.latency_ms == pytest.approx(2_100)


async def test_a_plan_that_lacks_an_answer_is_left_out() -> None:
    cases = [*cases_of(9), case(9, {"cheap": 1.0}, strong=Missing("budget"))]
    found = await priced_of(cases, LearnerState(fresh(), gates()))
    assert ["checked" in one for one in found] == [True] * 9 + [False]


async def test_a_promise_is_labelled_by_gates_not_trained_on_the_prompt() -> None:
    promise = Promise(PromiseSettings(0.05, 0.95))
    before = {name: array.copy() for name, array in promise.arrays().items()}
    found = await priced_of(cases_of(120), LearnerState(fresh(), gates(), {"checked": promise}))
    # Nothing is certified by so few: whatever would be accepted is withheld.
    assert all(one["checked"].latency_ms > 100 for one in found)
    assert any((array != before[name]).any() for name, array in promise.arrays().items())


async def test_simulation_without_judged_plans_trains_nothing() -> None:
    settings = replace(SETTINGS, catalog=CATALOGUE)
    learned = LearnerState(fresh())
    cases = cases_of(4)
    assert await simulated(cases, [context(0)] * 4, learned, settings, dict) == [{}] * 4


async def test_simulated_gates_reckon_with_the_prices_of_the_prompt() -> None:
    priced = replace(SETTINGS, prices=PromptPrices(RequestPrices(WITH, 400)))
    made = case(0, {"cheap": 1.0, "strong": 1.0})
    record = await CollectedTrial(made, context(0), priced).call(CHECKED, gates())
    assert record.choice is not None
    assert record.judged is not None
    known = {name: prior_usd for name, prior_usd, *_ in record.choice.prices}
    assert record.judged.strong_usd == pytest.approx(known["strong"])
    assert known["strong"] == pytest.approx((made.prompt.chat.input_bytes / 3.6 + 400) * 1e-6)
