"""Real calls through the real adapters: retried, failed over, charged, and made once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from router.domain.catalog import Arm
from router.tools.calibrate.collect.arm_client import TRIES, Missing
from router.tools.calibrate.collect.budget import Budget, CallBudget
from router.tools.calibrate.collect.journal import Answered, Failed, Intent, Journal
from tests.router.tools.calibrate.arms import (
    COST_USD,
    SETTINGS,
    ask,
    asking,
    catalog,
    prompts,
)
from tests.router.tools.calibrate.conftest import Upstream


async def test_a_known_answer_is_not_asked_again(upstream: Upstream, path: Path) -> None:
    arms = catalog(upstream.port, a=["m"])
    with Journal.open(path) as journal:
        async with asking(arms, journal) as client:
            reply, budget = await ask(client)
            assert isinstance(reply, Answered)
            assert (reply.text, reply.cost_usd) == ("4", pytest.approx(COST_USD))
            assert budget.spent_usd == pytest.approx(COST_USD)
    with Journal.open(path) as journal:
        async with asking(arms, journal) as client:
            again, budget = await ask(client)
    assert again == reply
    assert budget.spent_usd == 0
    assert upstream.asked == {"m": 1}


async def test_another_model_or_output_limit_is_another_question(
    upstream: Upstream, path: Path
) -> None:
    with Journal.open(path) as journal:
        async with asking(catalog(upstream.port, a=["m"]), journal) as client:
            await ask(client)
        async with asking(catalog(upstream.port, a=["n"]), journal) as client:
            await ask(client)
        longer = replace(SETTINGS, max_output_tokens=20)
        async with asking(catalog(upstream.port, a=["n"]), journal, longer) as client:
            await ask(client)
    assert upstream.asked == {"m": 1, "n": 2}


@pytest.mark.parametrize("status", [429, 503])
async def test_a_rate_limited_call_is_retried_and_then_sent_to_the_sibling(
    upstream: Upstream, path: Path, status: int
) -> None:
    upstream.answer = lambda model, _: (200, "4") if model == "n" else (status, "busy")
    with Journal.open(path) as journal:
        async with asking(catalog(upstream.port, a=["m", "n"]), journal) as client:
            reply, budget = await ask(client)
    assert isinstance(reply, Answered)
    assert reply.deployment == "n"
    assert upstream.asked == {"m": 3, "n": 1}
    assert budget.spent_usd == pytest.approx(COST_USD)


async def test_a_refused_key_is_tried_once_for_all_prompts(upstream: Upstream, path: Path) -> None:
    upstream.answer = lambda _model, _text: (401, "no")
    with Journal.open(path) as journal:
        async with asking(catalog(upstream.port, a=["m"]), journal, calls=1) as client:
            share = CallBudget(Budget(1.0, 0.0), 0.0)
            replies = [await client.ask(p.chat, "a", share) for p in prompts(5)]
    assert {r.why for r in replies if isinstance(r, Failed)} == {"provider_unauthorized"}
    assert upstream.asked == {"m": 1}


async def test_a_free_failure_is_retried_in_the_next_run(upstream: Upstream, path: Path) -> None:
    upstream.answer = lambda _model, _text: (503, "busy")
    with Journal.open(path) as journal:
        async with asking(catalog(upstream.port, a=["m"]), journal) as client:
            assert isinstance((await ask(client))[0], Failed)
    upstream.answer = lambda _model, _text: (200, "4")
    with Journal.open(path) as journal:
        async with asking(catalog(upstream.port, a=["m"]), journal) as client:
            assert isinstance((await ask(client))[0], Answered)


async def test_a_call_in_doubt_is_repeated_on_demand_only(upstream: Upstream, path: Path) -> None:
    arms = catalog(upstream.port, a=["m"])
    with Journal.open(path) as journal:
        async with asking(arms, journal) as client:
            key = client.key(prompts()[0].chat, "a")
            await journal.write(Intent(key, 1, "m", 0.25))
            assert (await ask(client))[0] == Missing("in_doubt")
        assert not upstream.asked
        async with asking(arms, journal, replace(SETTINGS, ask_again=True)) as client:
            assert isinstance((await ask(client))[0], Answered)
    with Journal.open(path) as journal:
        assert journal.ledger.spent_usd == pytest.approx(0.25 + COST_USD)


async def test_an_incapable_arm_is_not_asked(upstream: Upstream, path: Path) -> None:
    arms = catalog(upstream.port, a=["m"])
    small = replace(arms.arms["a"].deployments[0], context_window_tokens=51)
    with Journal.open(path) as journal:
        async with asking(replace(arms, arms={"a": Arm("a", (small,))}), journal) as client:
            assert (await ask(client))[0] == Missing("no_capable_deployment")


async def test_the_last_retry_is_not_followed_by_a_pause(upstream: Upstream, path: Path) -> None:
    def answer(_model: str, _text: str) -> tuple[int, str]:
        upstream.headers = {"retry-after": "30"} if upstream.asked["m"] == TRIES else {}
        return 429, "busy"

    upstream.answer = answer
    with Journal.open(path) as journal:
        async with asking(catalog(upstream.port, a=["m"]), journal) as client, asyncio.timeout(10):
            assert isinstance((await ask(client))[0], Failed)
    assert upstream.asked == {"m": TRIES}
