"""Which requests each source of scores takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.catalog import Arm, Catalog, Deployment, Price
from router.domain.chat import (
    Answer,
    ChatRequest,
    FinishReason,
    Message,
    Role,
    TextPart,
    Tool,
    Usage,
)
from router.serving.evidence.scorers import AskedVerifier, ClosedMajority, GradingArm

DEPLOYMENT = Deployment("j", "openai", "http://h", "m", Price(1.0, 2.0), max_output_tokens=100)
JUDGE = GradingArm(Catalog({"judge": Arm("judge", (DEPLOYMENT,))}, {}), "judge")


def chat(text: str = "How many legs have four spiders?") -> ChatRequest:
    return ChatRequest((Message(Role.USER, (TextPart(text),)),))


def answer(text: str) -> Answer:
    return Answer(text, FinishReason.STOP, Usage(10, 10), "m")


TOOLED = replace(chat(), tools=(Tool("look_up", "", ""),))


def test_what_calls_tools_is_for_a_verifier_alone() -> None:
    verifier = AskedVerifier(None)  # type: ignore[arg-type] - it is not asked
    fits = [source.fits(TOOLED) for source in (verifier, JUDGE, ClosedMajority())]
    assert fits == [True, False, False]


def test_a_judge_is_spared_what_it_would_see_the_ends_of() -> None:
    assert JUDGE.fits(chat("x" * 30_000))
    assert not JUDGE.fits(chat("x" * 40_000))


@pytest.mark.parametrize(("text", "taken"), [("The answer is 32.", True), ("Who knows?", False)])
def test_agreement_takes_closed_answers(text: str, *, taken: bool) -> None:
    assert ClosedMajority().takes(chat(), answer(text)) is taken


def test_a_judge_is_bounded_by_more_than_it_is_expected_to_cost() -> None:
    expected, most = JUDGE.price_usd(50, 3), JUDGE.most_usd(chat(), 3)
    assert 0 < expected < most
    assert JUDGE.price_usd(10**9, 3) < most
