"""Implicit feedback: the kinds of signs and their weights."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from bandit import Action, PolicySettings, Units, Weights, make_policy
from router.domain.events import Decided, Event, FeedbackGiven, Reasked
from router.domain.records import AttemptOutcome, DecisionRecord, Mode
from router.learning.implicit_feedback import (
    EDITED_SHARE,
    LEAST,
    LEFT_SHARE,
    MOST,
    MOST_WAITING,
    ImplicitFeedbackWeights,
    Sign,
    sign_of,
)
from router.learning.learner_state import LearnerState, split
from router.learning.rewards import RewardSettings, outcomes_of
from router.learning.training import BatchTrainer, Trainer
from router.ports.observer import Observer
from router.serving.rephrase import letter_fingerprint, letter_similarity
from tests.router.learning.test_training import CONTEXT, PLANS, SERVED, SHAPE, record

ASSUMED = 0.25


def left(name: str, tokens: int = 12) -> DecisionRecord:
    attempt = replace(SERVED, outcome=AttemptOutcome.CANCELLED, output_tokens=tokens)
    return replace(record(name), mode=Mode.STREAM, attempts=(attempt,), arm="")


def test_leaving_a_stream_midway_is_a_sign() -> None:
    assert sign_of(Decided(r := left("a")), r) is Sign.LEFT
    for other in (left("a", tokens=0), replace(left("a"), mode=Mode.COMPLETE), record("a")):
        assert sign_of(Decided(other), other) is None
    assert sign_of(FeedbackGiven("a", 0.0), record("a")) is None


def test_a_reask_is_a_sign_by_its_likeness() -> None:
    first = "Plan the cheapest round trip from Oslo to Lyon and explain each step."
    found = []
    for again in (
        "Explain how to get from Oslo to Lyon and back, step by step, for little money.",
        "Plan the cheapest round trip from Oslo to Lyon and explain every step.",
        "plan the cheapest round trip  from Oslo to Lyon and explain each step.",
    ):
        alike = letter_similarity(letter_fingerprint(first), letter_fingerprint(again))
        found.append(sign_of(Reasked("a", 0.95, likeness=alike), record("a")))
    assert found == [Sign.REASKED, Sign.EDITED, Sign.RETRIED]
    # Of a turn that an earlier version kept there is no fingerprint.
    assert letter_similarity(b"", letter_fingerprint(first)) == 0.0


def after(
    signs: Sequence[float], plain: Sequence[float], sign: Sign = Sign.REASKED
) -> ImplicitFeedbackWeights:
    """signs, plain: qualities told of answers with a sign and without one."""
    implicit_weights = ImplicitFeedbackWeights(ASSUMED)
    for n, quality in enumerate(signs):
        event, of = _given(sign, str(n))
        assert implicit_weights.observe(event, of) is not None
        implicit_weights.observe(FeedbackGiven(str(n), quality), of)
    for n, quality in enumerate(plain):
        implicit_weights.observe(FeedbackGiven(f"p{n}", quality), record(f"p{n}"))
    return implicit_weights


def _given(sign: Sign, name: str) -> tuple[Event, DecisionRecord]:
    if sign is Sign.LEFT:
        return Decided(r := left(name)), r
    alike = {Sign.REASKED: 0.1, Sign.EDITED: 0.8, Sign.RETRIED: 1.0}
    return Reasked(name, 0.99, likeness=alike[sign]), record(name)


def test_a_sign_without_evidence_has_its_assumed_weight() -> None:
    assert (
        ImplicitFeedbackWeights(ASSUMED).weight(Sign.REASKED)
        == ImplicitFeedbackWeights(ASSUMED).weight(Sign.RETRIED)
        == ASSUMED
    )
    assert ImplicitFeedbackWeights(ASSUMED).weight(Sign.EDITED) == ASSUMED * EDITED_SHARE
    assert ImplicitFeedbackWeights(ASSUMED).weight(Sign.LEFT) == ASSUMED * LEFT_SHARE


@pytest.mark.parametrize("sign", list(Sign))
def test_a_confirmed_sign_weighs_more_and_a_refuted_one_less(sign: Sign) -> None:
    good = [1.0] * 90 + [0.0] * 10
    assert after([0.0] * 200, good, sign).weight(sign) == MOST
    assert after(good * 20, good, sign).weight(sign) == pytest.approx(LEAST, abs=0.01)
    few = after([0.0] * 5, good, sign).weight(sign)
    assert ImplicitFeedbackWeights(ASSUMED).weight(sign) < few < MOST


def test_silence_and_corrections_are_no_evidence_on_signs() -> None:
    implicit_weights = ImplicitFeedbackWeights(ASSUMED)
    implicit_weights.observe(FeedbackGiven("a", 0.0, by_default=True), record("a"))
    implicit_weights.observe(FeedbackGiven("a", 0.0, replaces=1.0), record("a"))
    assert implicit_weights.is_blank


def test_a_session_s_feedback_is_evidence_by_its_share_and_leaves_the_sign_to_the_own() -> None:
    weights = ImplicitFeedbackWeights(ASSUMED)
    weights.observe(Reasked("a", 0.99), record("a"))
    for name in "ab":
        weights.observe(FeedbackGiven(name, 0.5, session_share=0.25), record(name))
    weights.observe(FeedbackGiven("a", 0.0, replaces=0.5, session_share=0.25), record("a"))
    assert weights.state()["plain"] == [0.25, 0.125]
    assert [pair for _, *pair in weights.state()["signs"]] == [[0.25, 0.125]]
    assert weights.state()["waiting"]
    own = FeedbackGiven("a", 0.0, replaces=0.5, replaces_share=0.25)
    weights.observe(own, record("a"))
    assert [pair for _, *pair in weights.state()["signs"]] == [[1.0, 0.875]]
    assert not weights.state()["waiting"]


def test_pending_signs_are_bounded() -> None:
    implicit_weights = ImplicitFeedbackWeights(ASSUMED)
    for n in range(MOST_WAITING + 5):
        implicit_weights.observe(Reasked(str(n), 0.99), record(str(n)))
    waiting = [name for name, _ in implicit_weights.state()["waiting"]]
    assert waiting == [str(n) for n in range(5, MOST_WAITING + 5)]


def test_sign_weights_survive_a_snapshot() -> None:
    implicit_weights = after([0.0, 1.0, 0.5], [1.0, 0.0])
    implicit_weights.observe(Reasked("w", 0.99), record("w"))
    implicit_weights.observe(Reasked("a", 0.99), record("a"))
    policy = make_policy("thompson", PolicySettings(), "v1", np.random.default_rng(0))
    again = ImplicitFeedbackWeights(
        ASSUMED, split(LearnerState(policy, implicit_weights=implicit_weights).save()).trust
    )
    assert again.state() == implicit_weights.state()
    assert [name for name, _ in again.state()["waiting"]] == ["w", "a"]
    assert again.weight(Sign.REASKED) == implicit_weights.weight(Sign.REASKED)


@pytest.mark.parametrize(
    "state",
    [
        {"plain": [1, 2], "signs": [], "waiting": []},
        {"plain": [0, 0], "signs": [["shrug", 1, 1]], "waiting": []},
        {"plain": [0, 0], "signs": [["left", 1, 1], 3], "waiting": []},
        {"plain": [0, 0], "signs": []},
    ],
)
def test_an_invalid_state_of_sign_weights_is_refused(state: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        ImplicitFeedbackWeights(ASSUMED, state)


def test_a_left_stream_counts_against_its_plan_only_when_weighed() -> None:
    gone = left("a")
    (cost,) = outcomes_of(Decided(gone), gone, PLANS, RewardSettings())
    assert cost.quality is None
    told = outcomes_of(Decided(gone), gone, PLANS, RewardSettings(sign_weight=0.07))
    assert [(o.quality, o.weight, o.cost_usd is None) for o in told] == [
        (None, 1.0, False),
        (0.0, 0.07, True),
    ]


def test_a_learner_weighs_signs_by_their_evidence() -> None:
    meant_nothing, unknown = drop(reasked=True), drop(reasked=False)
    assert 0 <= meant_nothing < unknown / 5


def drop(*, reasked: bool) -> float:
    """Returns the quality lost by forty re-asks to a plan whose answers were all good."""
    settings = PolicySettings(units=Units(cost_usd=0.01), shape=SHAPE)
    policy = make_policy("adaptive", settings, CONTEXT.version, np.random.default_rng(0))
    learned, trainer = (
        LearnerState(policy),
        BatchTrainer(find, Trainer(PLANS, RewardSettings(), Observer())),
    )
    told: list[Event] = []
    for n in range(400):
        told += [Reasked(str(n), 0.99)] * reasked + [FeedbackGiven(str(n), 1.0)]
    more = [Reasked(f"late{n}", 0.99) for n in range(40)]
    found = []
    for events in (told, more):
        asyncio.run(trainer.train(learned, [("0-1", event) for event in events]))
        decided = policy.decide(CONTEXT, [Action("cheap", 0.001)], Weights())
        found.append(decided.estimates["cheap"].quality)
    assert split(learned.save()).trust == learned.implicit_weights.state()
    return found[0] - found[1]


async def find(names: Sequence[str]) -> list[DecisionRecord | None]:
    return [record(name) for name in names]
