"""A call counts at its upper bound until its real cost is known."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from router.domain.catalog import Arm, Price
from router.domain.chat import Usage
from router.tools.calibrate.collect.arm_client import Missing, most_usd
from router.tools.calibrate.collect.budget import Budget
from router.tools.calibrate.collect.journal import Answered, Failed, Journal
from router.tools.calibrate.collect.matching import Match
from router.tools.calibrate.collect.prompts import read_prompts
from router.tools.calibrate.collect.scoring import ReferenceScorer
from tests.router.tools.calibrate.arms import (
    COST_USD,
    SETTINGS,
    Silent,
    ask,
    asking,
    catalog,
    gathering,
    prompts,
)
from tests.router.tools.calibrate.conftest import Upstream


async def test_a_timeout_counts_at_its_upper_bound_and_is_not_repeated(
    upstream: Upstream, path: Path
) -> None:
    arms = catalog(upstream.port, a=["m"])
    slow = replace(arms.arms["a"].deployments[0], timeout_ms=50)
    arms = replace(arms, arms={"a": Arm("a", (slow,))})
    upstream.delay_s = 0.3
    chat = prompts()[0].chat
    with Journal.open(path) as journal:
        async with asking(arms, journal) as client:
            reply, budget = await ask(client)
            assert isinstance(reply, Failed)
            assert 0 < reply.cost_usd < budget.spent_usd
            assert budget.spent_usd == pytest.approx(most_usd(slow, chat))
            assert isinstance((await ask(client))[0], Failed)
    assert upstream.asked == {"m": 1}


async def test_a_broken_connection_counts_at_its_upper_bound(path: Path) -> None:
    asked = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        arms = catalog(server.sockets[0].getsockname()[1], a=["m"])
        for run in range(2):
            with Journal.open(path) as journal:
                async with asking(arms, journal) as client:
                    reply, budget = await ask(client)
            assert isinstance(reply, Failed)
            most = most_usd(arms.arms["a"].deployments[0], prompts()[0].chat)
            assert budget.spent_usd == pytest.approx(0 if run else most)
    assert asked == 1


async def test_a_call_beyond_the_budget_is_not_sent(upstream: Upstream, path: Path) -> None:
    arms = catalog(upstream.port, a=["m"])
    enough = most_usd(arms.arms["a"].deployments[0], prompts()[0].chat)
    with Journal.open(path) as journal:
        async with asking(arms, journal) as client:
            assert (await ask(client, budget_usd=enough * 0.999))[0] == Missing("budget")
            assert not upstream.asked
            assert isinstance((await ask(client, budget_usd=enough))[0], Answered)


async def test_a_possible_charge_is_kept_behind_a_free_failure(
    upstream: Upstream, path: Path
) -> None:
    upstream.answer = lambda model, _: (408, "late") if model == "m" else (429, "busy")
    spent = []
    for _ in range(2):
        with Journal.open(path) as journal:
            async with asking(catalog(upstream.port, a=["m", "n"]), journal) as client:
                reply, budget = await ask(client)
        assert isinstance(reply, Failed)
        spent.append(budget.spent_usd)
    assert upstream.asked == {"m": 1, "n": 3}
    assert spent[0] > spent[1] == 0


async def test_a_possibly_charged_failure_is_repeated_on_demand(
    upstream: Upstream, path: Path
) -> None:
    arms = catalog(upstream.port, a=["m"])
    upstream.answer = lambda _model, _text: (408, "late")
    again = replace(SETTINGS, ask_again=True)
    for asked in (1, 2):
        with Journal.open(path) as journal:
            async with asking(arms, journal, again) as client:
                assert isinstance((await ask(client))[0], Failed)
                assert isinstance((await ask(client))[0], Failed)
        assert upstream.asked == {"m": asked}
    upstream.answer = lambda _model, _text: (200, "4")
    with Journal.open(path) as journal:
        async with asking(arms, journal, again) as client:
            assert isinstance((await ask(client))[0], Answered)


async def test_an_answer_without_token_counts_is_charged_at_its_upper_bound(
    upstream: Upstream, path: Path
) -> None:
    arms = catalog(upstream.port, a=["m"])
    upstream.output_tokens = 0
    with Journal.open(path) as journal:
        async with asking(arms, journal) as client:
            reply, budget = await ask(client)
    most = most_usd(arms.arms["a"].deployments[0], prompts()[0].chat)
    assert isinstance(reply, Answered)
    assert budget.spent_usd == pytest.approx(most)
    assert 0 < reply.cost_usd < most
    with Journal.open(path) as journal:
        assert journal.ledger.spent_usd == pytest.approx(most)


async def test_images_are_bounded_by_their_dearest_encoding(upstream: Upstream, path: Path) -> None:
    """Eight large tiles and the base on a small model."""
    upstream.input_tokens = 2_833 + 8 * 5_667
    arms = catalog(upstream.port, a=["m"])
    seeing = replace(arms.arms["a"].deployments[0], images=True)
    arms = replace(arms, arms={"a": Arm("a", (seeing,))})
    part = '{"type": "image_url", "image_url": {"url": "http://x/%d.png", "detail": "high"}}'
    lines = [
        f'{{"messages": [{{"role": "user", "content": [{part % i}]}}], "reference": "4"}}'.encode()
        for i in range(10)
    ]
    budget = Budget(2.0, 0.0)
    with Journal.open(path) as journal:
        async with asking(arms, journal) as client:
            collector = gathering(client, ReferenceScorer(Match.AUTO), budget, ["a"])
            await collector.collect(read_prompts(lines, "p"), Silent())
    assert upstream.asked["m"] == 4
    assert budget.spent_usd <= 2.0
    assert not budget.beyond_usd


async def test_an_arm_that_charges_beyond_its_bound_is_asked_no_more(
    upstream: Upstream, path: Path
) -> None:
    """Not even by those that waited for their turn while two calls were under strategy."""
    upstream.input_tokens = 1_000
    arms = catalog(upstream.port, a=["m"])
    with Journal.open(path) as journal:
        async with asking(arms, journal, calls=2) as client:
            budget = Budget(1.0, 0.0)
            collector = gathering(client, ReferenceScorer(Match.AUTO), budget, ["a"])
            cases = await collector.collect(prompts(20), Silent())
    assert budget.beyond_usd > 0
    assert upstream.asked["m"] <= 2
    assert cases[-1].replies["a"] == Missing("budget")


async def test_the_estimate_uses_the_output_limit_that_is_sent(
    upstream: Upstream, path: Path
) -> None:
    """A window that the deployment's own output limit would leave no room in."""
    arms = catalog(upstream.port, a=["m"])
    small = replace(
        arms.arms["a"].deployments[0], context_window_tokens=8_000, max_output_tokens=4_096
    )
    arms = replace(arms, arms={"a": Arm("a", (small,))})
    long = read_prompts([b'{"prompt": "%s"}' % (b"word " * 3_000)], "p")
    with Journal.open(path) as journal:
        async with asking(arms, journal, replace(SETTINGS, max_output_tokens=100)) as client:
            budget = Budget(1.0, 0.0)
            collector = gathering(client, ReferenceScorer(Match.AUTO), budget, ["a"])
            told = collector.estimate([*long, *prompts()], 400)
            likely_usd = collector.likely_usd(prompts()[0], 400)
            assert COST_USD < likely_usd <= collector.most_usd(prompts()[0])
    assert "2 answers to get" in told


async def test_a_call_costs_what_its_parts_cost(upstream: Upstream, path: Path) -> None:
    """The journal keeps the parts; a budget covers the dearest of them."""
    upstream.counted = {
        "prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    arms = catalog(upstream.port, a=["m"])
    dear = replace(arms.arms["a"].deployments[0], price=Price(1.0, 10.0, 0.1, 1.25, 12.0))
    plain = replace(dear, price=Price(1.0, 10.0))
    assert most_usd(dear, prompts()[0].chat) > 1.19 * most_usd(plain, prompts()[0].chat)
    arms = replace(arms, arms={"a": Arm("a", (dear,))})
    for _ in range(2):  # told, then read back
        with Journal.open(path) as journal:
            async with asking(arms, journal) as client:
                reply, _ = await ask(client)
        assert isinstance(reply, Answered)
        assert reply.cost_usd == pytest.approx((1 + 0.6 + 3.75 + 10 + 48) / 1e6)
        assert reply.answer.usage == Usage(
            10, 5, cached_tokens=6, written_tokens=3, reasoning_tokens=4
        )
