"""Real calls through the real adapters: retried, failed over, charged, and made once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from router.domain.catalog import Arm
from router.tools.calibrate.collect.asking import TRIES, Missing
from router.tools.calibrate.collect.budget import Budget, Share
from router.tools.calibrate.collect.journal import Journal
from router.tools.calibrate.collect.ledger import Answered, Failed, Intent
from tests.router.tools.calibrate.calls import (
    COST_USD,
    SETTINGS,
    ask,
    asking,
    catalog,
    prompts,
)
from tests.router.tools.calibrate.conftest import Upstream


async def test_an_answer_is_had_once_and_kept(upstream: Upstream, path: Path) -> None:
    arms = catalog(upstream.port, a=["m"])
    with Journal.open(path) as journal:
        async with asking(arms, journal) as asker:
            reply, purse = await ask(asker)
            assert isinstance(reply, Answered)
            assert (reply.text, reply.cost_usd) == ("4", pytest.approx(COST_USD))
            assert purse.spent_usd == pytest.approx(COST_USD)
    with Journal.open(path) as journal:
        async with asking(arms, journal) as asker:
            again, purse = await ask(asker)
    assert again == reply
    assert purse.spent_usd == 0
    assert upstream.asked == {"m": 1}


async def test_another_model_or_length_answers_anew(upstream: Upstream, path: Path) -> None:
    with Journal.open(path) as journal:
        async with asking(catalog(upstream.port, a=["m"]), journal) as asker:
            await ask(asker)
        async with asking(catalog(upstream.port, a=["n"]), journal) as asker:
            await ask(asker)
        longer = replace(SETTINGS, max_output_tokens=20)
        async with asking(catalog(upstream.port, a=["n"]), journal, longer) as asker:
            await ask(asker)
    assert upstream.asked == {"m": 1, "n": 2}


@pytest.mark.parametrize("status", [429, 503])
async def test_who_is_turned_away_asks_again_and_then_the_sibling(
    upstream: Upstream, path: Path, status: int
) -> None:
    upstream.answer = lambda model, _: (200, "4") if model == "n" else (status, "busy")
    with Journal.open(path) as journal:
        async with asking(catalog(upstream.port, a=["m", "n"]), journal) as asker:
            reply, purse = await ask(asker)
    assert isinstance(reply, Answered)
    assert reply.deployment == "n"
    assert upstream.asked == {"m": 3, "n": 1}
    assert purse.spent_usd == pytest.approx(COST_USD)


async def test_a_refused_key_is_tried_once_for_all_prompts(upstream: Upstream, path: Path) -> None:
    upstream.answer = lambda _model, _text: (401, "no")
    with Journal.open(path) as journal:
        async with asking(catalog(upstream.port, a=["m"]), journal, calls=1) as asker:
            share = Share(Budget(1.0, 0.0), 0.0)
            replies = [await asker.ask(p.chat, "a", share) for p in prompts(5)]
    assert {r.why for r in replies if isinstance(r, Failed)} == {"provider_unauthorized"}
    assert upstream.asked == {"m": 1}


async def test_what_was_free_is_asked_again_in_the_next_run(upstream: Upstream, path: Path) -> None:
    upstream.answer = lambda _model, _text: (503, "busy")
    with Journal.open(path) as journal:
        async with asking(catalog(upstream.port, a=["m"]), journal) as asker:
            assert isinstance((await ask(asker))[0], Failed)
    upstream.answer = lambda _model, _text: (200, "4")
    with Journal.open(path) as journal:
        async with asking(catalog(upstream.port, a=["m"]), journal) as asker:
            assert isinstance((await ask(asker))[0], Answered)


async def test_a_call_in_doubt_is_left_out_or_asked_again_on_demand(
    upstream: Upstream, path: Path
) -> None:
    arms = catalog(upstream.port, a=["m"])
    with Journal.open(path) as journal:
        async with asking(arms, journal) as asker:
            key = asker.key(prompts()[0].chat, "a")
            await journal.write(Intent(key, 1, "m", 0.25))
            assert (await ask(asker))[0] == Missing("in_doubt")
        assert not upstream.asked
        async with asking(arms, journal, replace(SETTINGS, ask_again=True)) as asker:
            assert isinstance((await ask(asker))[0], Answered)
    with Journal.open(path) as journal:
        assert journal.ledger.spent_usd == pytest.approx(0.25 + COST_USD)


async def test_an_arm_that_can_not_take_the_prompt_is_not_asked(
    upstream: Upstream, path: Path
) -> None:
    arms = catalog(upstream.port, a=["m"])
    small = replace(arms.arms["a"].deployments[0], context_window_tokens=51)
    with Journal.open(path) as journal:
        async with asking(replace(arms, arms={"a": Arm("a", (small,))}), journal) as asker:
            assert (await ask(asker))[0] == Missing("no_capable_deployment")


async def test_nobody_rests_after_the_last_try(upstream: Upstream, path: Path) -> None:
    def answer(_model: str, _text: str) -> tuple[int, str]:
        upstream.headers = {"retry-after": "30"} if upstream.asked["m"] == TRIES else {}
        return 429, "busy"

    upstream.answer = answer
    with Journal.open(path) as journal:
        async with asking(catalog(upstream.port, a=["m"]), journal) as asker, asyncio.timeout(25):
            assert isinstance((await ask(asker))[0], Failed)
    assert upstream.asked == {"m": TRIES}
