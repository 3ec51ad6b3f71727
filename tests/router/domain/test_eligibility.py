from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.catalog import Arm, Catalog, Deployment, Plan, Price
from router.domain.chat import (
    ChatRequest,
    Format,
    ImagePart,
    Message,
    ResponseFormat,
    Role,
    TextPart,
    Tool,
    Usage,
)
from router.domain.eligibility import (
    Constraints,
    Requirements,
    most_cost_usd,
    permitted_arms,
    permitted_plans,
)
from router.serving.attempts import PlanRun

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
CATALOGUE = Catalog(
    arms={"cheap": Arm("cheap", (SMALL,)), "reasoning": Arm("reasoning", (BIG,))},
    plans={
        "cheap": Plan("cheap", ("cheap",), 0.001),
        "reasoning": Plan("reasoning", ("reasoning",), 0.01),
        "ladder": Plan("ladder", ("cheap", "reasoning"), 0.004),
    },
)
ASK = ChatRequest((Message(Role.USER, (TextPart("hi"),)),))


def names(chat: ChatRequest, wishes: Constraints) -> set[str]:
    arms = permitted_arms(CATALOGUE, Requirements.of(chat), wishes)
    return {plan.name for plan in permitted_plans(CATALOGUE, arms)}


@pytest.mark.parametrize(
    "chat",
    [
        replace(ASK, tools=(Tool("t"),)),
        replace(ASK, response_format=ResponseFormat(Format.JSON_SCHEMA, "{}")),
        replace(ASK, messages=(Message(Role.USER, (ImagePart("https://i"),)),)),
        replace(ASK, messages=(Message(Role.USER, (TextPart("x" * 3_000),)),)),
    ],
)
def test_permitted_plans_need_a_capable_deployment_on_every_rung(chat: ChatRequest) -> None:
    assert not Requirements.of(chat).met_by(SMALL)
    assert names(chat, Constraints()) == {"reasoning"}


def test_permitted_arms_keep_pins_and_allow_lists() -> None:
    assert names(ASK, Constraints()) == {"cheap", "reasoning", "ladder"}
    assert names(ASK, Constraints(pin="cheap")) == {"cheap"}
    assert names(ASK, Constraints(arms=("reasoning",))) == {"reasoning"}
    assert names(ASK, Constraints(arms=("reasoning",), pin="cheap")) == set()


def test_most_cost_counts_the_longest_answer_of_every_sibling() -> None:
    needs = Requirements(1_000, 3_000, output_tokens=100)
    arm = Arm("both", (replace(SMALL, context_window_tokens=2_000), BIG))
    both_usd = (3_000 * 1 + 100 * 2 + 3_000 * 10 + 100 * 20) / 1e6
    assert most_cost_usd(arm, needs) == pytest.approx(both_usd)
    assert most_cost_usd(arm, replace(needs, images=True)) == pytest.approx(32_000 / 1e6)
    assert most_cost_usd(Arm("none", (SMALL,)), needs) == 0


DIGITS = ",".join("7" * 1_000)
"""Every digit and every comma is a token of its own."""


@pytest.mark.parametrize(
    ("chat", "charged_tokens"),
    [
        (replace(ASK, messages=(Message(Role.USER, (TextPart(DIGITS),)),)), len(DIGITS)),
        (replace(ASK, messages=(Message(Role.USER, (ImagePart("https://i", "high"),)),)), 48_169),
        (replace(ASK, tools=tuple(Tool("tool_" * 12) for _ in range(50))), 50 * 60),
    ],
    ids=["digits", "image", "names of tools"],
)
def test_most_input_tokens_bound_what_is_charged(chat: ChatRequest, charged_tokens: int) -> None:
    needs, input_usd = Requirements.of(chat), BIG.price.cost_usd(Usage(charged_tokens))
    whole_usd = BIG.price.cost_usd(Usage(charged_tokens, BIG.max_output_tokens))
    assert most_cost_usd(Arm("big", (BIG,)), needs) >= whole_usd
    assert not PlanRun(chat, needs, ("big",), max_cost_usd=input_usd).may_call(BIG)


def test_estimated_input_tokens_are_on_the_safe_side() -> None:
    chinese = replace(ASK, messages=(Message(Role.USER, (TextPart("你好" * 100),)),))
    assert chinese.estimated_input_tokens >= 200


def test_permitted_arms_begin_with_the_fallback() -> None:
    catalog, needs = replace(CATALOGUE, fallback="reasoning"), Requirements.of(ASK)
    assert permitted_arms(catalog, needs, Constraints()) == ("reasoning", "cheap")
    assert permitted_arms(catalog, needs, Constraints(pin="cheap")) == ("cheap",)


def test_permitted_plans_need_a_permitted_second_arm() -> None:
    checked = Plan("checked", ("cheap", "reasoning"), 0.005, "learned", "other")
    other = replace(BIG, name="other")
    catalog = replace(
        CATALOGUE,
        arms={**CATALOGUE.arms, "other": Arm("other", (other,))},
        plans={"checked": checked},
    )
    every = permitted_arms(catalog, Requirements.of(ASK), Constraints())
    assert permitted_plans(catalog, every) == [checked]
    some = permitted_arms(catalog, Requirements.of(ASK), Constraints(arms=("cheap", "reasoning")))
    assert permitted_plans(catalog, some) == []


@pytest.mark.parametrize(
    "price",
    [
        Price(1.0, 2.0),
        Price(1.0, 2.0, cache_write_usd_per_mtok=2.5),
        Price(1.0, 2.0, cached_input_usd_per_mtok=0.1, cache_write_usd_per_mtok=1.25),
        Price(1.0, 2.0, cached_input_usd_per_mtok=3.0),
        Price(1.0, 2.0, reasoning_usd_per_mtok=8.0),
        Price(1.0, 0.0, cache_write_usd_per_mtok=4.0, reasoning_usd_per_mtok=1.0),
        Price(1.0, 2.0, 0.0, 0.0, 0.0),
    ],
)
def test_no_bound_is_below_what_any_split_of_the_tokens_costs(price: Price) -> None:
    """All written, all cached, all thought: whatever the provider makes of a request."""
    needs = Requirements(1_000, 3_000, output_tokens=100)
    able = replace(SMALL, price=price, context_window_tokens=2_000)
    splits = [
        Usage(3_000, 100, cached_tokens=cached, written_tokens=written, reasoning_tokens=thought)
        for cached, written in ((0, 0), (3_000, 0), (0, 3_000), (1_000, 2_000))
        for thought in (0, 50, 100)
    ]
    dearest = max(map(price.cost_usd, splits))
    most = most_cost_usd(Arm("one", (able,)), needs)
    assert dearest <= most * (1 + 1e-12)
    for left_usd in (most / 2, most * 0.99, most, 2 * most):
        paid = needs.paid_output(able, left_usd)
        if paid:
            for usage in splits:
                thought = min(paid, usage.reasoning_tokens)
                kept = replace(usage, output_tokens=paid, reasoning_tokens=thought)
                assert price.cost_usd(kept) <= left_usd * (1 + 1e-12)
                all_thought = replace(kept, reasoning_tokens=paid)
                assert price.cost_usd(all_thought) <= left_usd * (1 + 1e-12)
    assert needs.is_paid(able, most * (1 + 1e-12))
    assert not needs.is_paid(able, most / 2)
