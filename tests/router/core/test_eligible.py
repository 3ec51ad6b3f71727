from __future__ import annotations

from dataclasses import replace

import pytest

from router.core.arms import Arm, Catalogue, Deployment, Plan, Price
from router.core.chat import (
    ChatRequest,
    Format,
    ImagePart,
    Message,
    ResponseFormat,
    Role,
    Sampling,
    TextPart,
    Tool,
    Usage,
)
from router.core.eligible import Wishes, capable, permitted_plans, spare_arms, worst_cost_usd

SMALL = Deployment(
    "small",
    "openai",
    "http://h",
    "m",
    Price(1.0, 2.0),
    context_window_tokens=1_000,
    max_output_tokens=100,
    tools=False,
    json_schema=False,
)
BIG = Deployment("big", "openai", "http://h", "m", Price(10.0, 20.0), images=True)
CATALOGUE = Catalogue(
    arms={"cheap": Arm("cheap", (SMALL,)), "reasoning": Arm("reasoning", (BIG,))},
    plans={
        "cheap": Plan("cheap", ("cheap",), 0.001),
        "reasoning": Plan("reasoning", ("reasoning",), 0.01),
        "ladder": Plan("ladder", ("cheap", "reasoning"), 0.004),
    },
)
ASK = ChatRequest((Message(Role.USER, (TextPart("hi"),)),))


def names(chat: ChatRequest, wishes: Wishes) -> set[str]:
    return {plan.name for plan in permitted_plans(CATALOGUE, chat, wishes)}


@pytest.mark.parametrize(
    "chat",
    [
        replace(ASK, tools=(Tool("t"),)),
        replace(ASK, response_format=ResponseFormat(Format.JSON_SCHEMA, "{}")),
        replace(ASK, messages=(Message(Role.USER, (ImagePart("https://i"),)),)),
        replace(ASK, messages=(Message(Role.USER, (TextPart("x" * 3_000),)),)),
    ],
)
def test_a_plan_needs_every_rung_capable(chat: ChatRequest) -> None:
    assert not capable(SMALL, chat)
    assert names(chat, Wishes()) == {"reasoning"}


def test_pins_and_allow_lists() -> None:
    assert names(ASK, Wishes()) == {"cheap", "reasoning", "ladder"}
    assert names(ASK, Wishes(pin="cheap")) == {"cheap"}
    assert names(ASK, Wishes(arms=("reasoning",))) == {"reasoning"}
    assert names(ASK, Wishes(arms=("reasoning",), pin="cheap")) == set()


def test_worst_cost_bounds_every_rung_at_its_longest() -> None:
    tokens = ASK.estimated_input_tokens
    low = SMALL.price.cost_usd(Usage(tokens, 100))
    high = BIG.price.cost_usd(Usage(tokens, 4_096))
    assert worst_cost_usd(CATALOGUE, ASK, Wishes()) == pytest.approx(low + high)
    assert worst_cost_usd(CATALOGUE, ASK, Wishes(pin="cheap")) == pytest.approx(low)
    short = replace(ASK, sampling=Sampling(max_output_tokens=10))
    assert worst_cost_usd(CATALOGUE, short, Wishes()) < low + high


def test_token_estimate_is_on_the_safe_side() -> None:
    chinese = replace(ASK, messages=(Message(Role.USER, (TextPart("你好" * 100),)),))
    assert chinese.estimated_input_tokens >= 200


def test_the_fallback_arm_is_the_first_to_stand_in() -> None:
    catalogue = replace(CATALOGUE, fallback="reasoning")
    assert spare_arms(catalogue, ASK, Wishes()) == ("reasoning", "cheap")
    assert spare_arms(catalogue, ASK, Wishes(pin="cheap")) == ("cheap",)
