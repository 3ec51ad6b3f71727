"""Real calls through the real adapters: retried, failed over, charged, and made once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from router.adapters.providers import make_client, make_providers
from router.calibrate.asking import TRIES, Asker, AskSettings, Missing, most_usd
from router.calibrate.errors import JournalUnusable
from router.calibrate.gathering import Case, Gatherer
from router.calibrate.hook import HttpVerifier
from router.calibrate.journal import Journal
from router.calibrate.ledger import Answered, Failed, Intent
from router.calibrate.matching import Match
from router.calibrate.prompts import Prompt, read_prompts
from router.calibrate.purse import Purse, Share
from router.calibrate.scoring import JudgeScorer, ReferenceScorer, Scorer, VerifierScorer
from router.core.arms import Arm, Catalogue, Deployment, Plan, Price
from tests.router.calibrate.conftest import Upstream

PRICE = Price(10.0, 10.0)
COST_USD = 15 * 10 / 1e6
SETTINGS = AskSettings(pause_ms=1)


class Silent:
    def replied(self, reply: object) -> None:
        pass


def prompts(count: int = 1) -> list[Prompt]:
    return read_prompts(
        [f'{{"prompt": "{i}+2?", "reference": {i + 2}}}'.encode() for i in range(count)], "p"
    )


def catalogue(port: int, **arms: Sequence[str]) -> Catalogue:
    """Arm -> the models of its deployments."""

    def deployment(model: str) -> Deployment:
        url = f"http://127.0.0.1:{port}/v1"
        return Deployment(
            model, "openai", url, model, PRICE, max_output_tokens=50, timeout_ms=2_000
        )

    made = {arm: Arm(arm, tuple(map(deployment, models))) for arm, models in arms.items()}
    return Catalogue(made, {arm: Plan(arm, (arm,), 0.01) for arm in made})


@asynccontextmanager
async def asking(
    arms: Catalogue, journal: Journal, settings: AskSettings = SETTINGS, calls: int = 4
) -> AsyncIterator[Asker]:
    async with make_client() as client:
        yield Asker(
            catalogue=arms,
            providers=make_providers(client, {}),
            journal=journal,
            calls=asyncio.Semaphore(calls),
            stop=asyncio.Event(),
            clock=time.monotonic,
            settings=settings,
        )


async def ask(
    asker: Asker, arm: str = "a", budget_usd: float = 1.0
) -> tuple[Answered | Failed | Missing, Purse]:
    purse = Purse(budget_usd, 0.0)
    share = Share(purse, 0.0)
    reply = await asker.ask(prompts()[0].chat, arm, share)
    await share.close()
    assert purse.held_usd == 0
    return reply, purse


async def test_an_answer_is_had_once_and_kept(upstream: Upstream, path: Path) -> None:
    arms = catalogue(upstream.port, a=["m"])
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
        async with asking(catalogue(upstream.port, a=["m"]), journal) as asker:
            await ask(asker)
        async with asking(catalogue(upstream.port, a=["n"]), journal) as asker:
            await ask(asker)
        longer = replace(SETTINGS, max_output_tokens=20)
        async with asking(catalogue(upstream.port, a=["n"]), journal, longer) as asker:
            await ask(asker)
    assert upstream.asked == {"m": 1, "n": 2}


@pytest.mark.parametrize("status", [429, 503])
async def test_who_is_turned_away_asks_again_and_then_the_sibling(
    upstream: Upstream, path: Path, status: int
) -> None:
    upstream.answer = lambda model, _: (200, "4") if model == "n" else (status, "busy")
    with Journal.open(path) as journal:
        async with asking(catalogue(upstream.port, a=["m", "n"]), journal) as asker:
            reply, purse = await ask(asker)
    assert isinstance(reply, Answered)
    assert reply.deployment == "n"
    assert upstream.asked == {"m": 3, "n": 1}
    assert purse.spent_usd == pytest.approx(COST_USD)


async def test_a_refused_key_is_tried_once_for_all_prompts(upstream: Upstream, path: Path) -> None:
    upstream.answer = lambda _model, _text: (401, "no")
    with Journal.open(path) as journal:
        async with asking(catalogue(upstream.port, a=["m"]), journal, calls=1) as asker:
            share = Share(Purse(1.0, 0.0), 0.0)
            replies = [await asker.ask(p.chat, "a", share) for p in prompts(5)]
    assert {r.why for r in replies if isinstance(r, Failed)} == {"provider_unauthorized"}
    assert upstream.asked == {"m": 1}


async def test_a_timeout_counts_at_its_most_and_is_not_asked_again(
    upstream: Upstream, path: Path
) -> None:
    arms = catalogue(upstream.port, a=["m"])
    slow = replace(arms.arms["a"].deployments[0], timeout_ms=50)
    arms = replace(arms, arms={"a": Arm("a", (slow,))})
    upstream.delay_s = 0.3
    chat = prompts()[0].chat
    with Journal.open(path) as journal:
        async with asking(arms, journal) as asker:
            reply, purse = await ask(asker)
            assert isinstance(reply, Failed)
            assert 0 < reply.cost_usd < purse.spent_usd
            assert purse.spent_usd == pytest.approx(most_usd(slow, chat))
            assert isinstance((await ask(asker))[0], Failed)
    assert upstream.asked == {"m": 1}


async def test_a_connection_that_breaks_after_the_question_counts_at_its_most(path: Path) -> None:
    asked = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        arms = catalogue(server.sockets[0].getsockname()[1], a=["m"])
        for run in range(2):
            with Journal.open(path) as journal:
                async with asking(arms, journal) as asker:
                    reply, purse = await ask(asker)
            assert isinstance(reply, Failed)
            most = most_usd(arms.arms["a"].deployments[0], prompts()[0].chat)
            assert purse.spent_usd == pytest.approx(0 if run else most)
    assert asked == 1


async def test_what_was_free_is_asked_again_in_the_next_run(upstream: Upstream, path: Path) -> None:
    upstream.answer = lambda _model, _text: (503, "busy")
    with Journal.open(path) as journal:
        async with asking(catalogue(upstream.port, a=["m"]), journal) as asker:
            assert isinstance((await ask(asker))[0], Failed)
    upstream.answer = lambda _model, _text: (200, "4")
    with Journal.open(path) as journal:
        async with asking(catalogue(upstream.port, a=["m"]), journal) as asker:
            assert isinstance((await ask(asker))[0], Answered)


async def test_a_call_in_doubt_is_left_out_or_asked_again_on_demand(
    upstream: Upstream, path: Path
) -> None:
    arms = catalogue(upstream.port, a=["m"])
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


async def test_what_the_budget_may_not_pay_is_not_sent(upstream: Upstream, path: Path) -> None:
    arms = catalogue(upstream.port, a=["m"])
    enough = most_usd(arms.arms["a"].deployments[0], prompts()[0].chat)
    with Journal.open(path) as journal:
        async with asking(arms, journal) as asker:
            assert (await ask(asker, budget_usd=enough * 0.999))[0] == Missing("budget")
            assert not upstream.asked
            assert isinstance((await ask(asker, budget_usd=enough))[0], Answered)


async def test_an_arm_that_can_not_take_the_prompt_is_not_asked(
    upstream: Upstream, path: Path
) -> None:
    arms = catalogue(upstream.port, a=["m"])
    small = replace(arms.arms["a"].deployments[0], context_window_tokens=51)
    with Journal.open(path) as journal:
        async with asking(replace(arms, arms={"a": Arm("a", (small,))}), journal) as asker:
            assert (await ask(asker))[0] == Missing("no_capable_deployment")


async def test_what_may_be_charged_is_kept_behind_a_failure_that_was_free(
    upstream: Upstream, path: Path
) -> None:
    upstream.answer = lambda model, _: (408, "late") if model == "m" else (429, "busy")
    spent = []
    for _ in range(2):
        with Journal.open(path) as journal:
            async with asking(catalogue(upstream.port, a=["m", "n"]), journal) as asker:
                reply, purse = await ask(asker)
        assert isinstance(reply, Failed)
        spent.append(purse.spent_usd)
    assert upstream.asked == {"m": 1, "n": 3}
    assert spent[0] > spent[1] == 0


async def test_what_may_have_been_charged_is_asked_again_on_demand(
    upstream: Upstream, path: Path
) -> None:
    arms = catalogue(upstream.port, a=["m"])
    upstream.answer = lambda _model, _text: (408, "late")
    again = replace(SETTINGS, ask_again=True)
    for asked in (1, 2):
        with Journal.open(path) as journal:
            async with asking(arms, journal, again) as asker:
                assert isinstance((await ask(asker))[0], Failed)
                assert isinstance((await ask(asker))[0], Failed)
        assert upstream.asked == {"m": asked}
    upstream.answer = lambda _model, _text: (200, "4")
    with Journal.open(path) as journal:
        async with asking(arms, journal, again) as asker:
            assert isinstance((await ask(asker))[0], Answered)


async def test_nobody_rests_after_the_last_try(upstream: Upstream, path: Path) -> None:
    def answer(_model: str, _text: str) -> tuple[int, str]:
        upstream.headers = {"retry-after": "30"} if upstream.asked["m"] == TRIES else {}
        return 429, "busy"

    upstream.answer = answer
    with Journal.open(path) as journal:
        async with asking(catalogue(upstream.port, a=["m"]), journal) as asker, asyncio.timeout(10):
            assert isinstance((await ask(asker))[0], Failed)
    assert upstream.asked == {"m": TRIES}


def gathering(asker: Asker, scorer: Scorer, purse: Purse, arms: Sequence[str]) -> Gatherer:
    return Gatherer(
        asker=asker, scorer=scorer, arms=arms, purse=purse, stop=asyncio.Event(), concurrency=4
    )


async def gathered(
    upstream: Upstream,
    path: Path,
    make: Callable[[Asker, Journal], Scorer],
    *,
    budget_usd: float = 1.0,
    count: int = 10,
) -> tuple[list[Case], Purse]:
    """Arms a and b (and the judge j, which is an arm as well)."""
    arms = catalogue(upstream.port, a=["m"], b=["n"], j=["judge"])
    with Journal.open(path) as journal:
        purse = Purse(budget_usd, journal.ledger.spent_usd)
        async with asking(arms, journal) as asker:
            gatherer = gathering(asker, make(asker, journal), purse, ["a", "b"])
            cases = await gatherer.gather(prompts(count), Silent())
    assert purse.held_usd == 0
    return cases, purse


async def test_prompts_are_paid_for_whole_until_the_budget_ends(
    upstream: Upstream, path: Path
) -> None:
    def make(_asker: Asker, _journal: Journal) -> Scorer:
        return ReferenceScorer(Match.AUTO)

    cases, purse = await gathered(upstream, path, make, budget_usd=0.003, count=40)
    answered = [case for case in cases if isinstance(case.replies["a"], Answered)]
    assert 3 < len(answered) < 40
    assert all(isinstance(case.replies["b"], Answered) for case in answered)
    assert {c.replies["b"] for c in cases if c not in answered} == {Missing("budget")}
    assert purse.spent_usd == pytest.approx(len(answered) * 2 * COST_USD)
    assert purse.spent_usd <= 0.003
    again, _ = await gathered(upstream, path, make, budget_usd=0.0001, count=40)
    assert [c.scores for c in again] == [c.scores for c in cases]
    assert upstream.asked.total() == len(answered) * 2


async def test_no_more_calls_at_once_than_allowed(upstream: Upstream, path: Path) -> None:
    upstream.delay_s = 0.01
    await gathered(upstream, path, lambda *_: ReferenceScorer(Match.AUTO), count=20)
    assert upstream.most_at_once == 4


async def test_a_judge_is_an_arm_that_is_paid_once(upstream: Upstream, path: Path) -> None:
    def answer(model: str, text: str) -> tuple[int, str]:
        if model == "judge":
            return 200, "SCORE: 9" if '"answer": "from m' in text else "well, well"
        return 200, f"from {model}"

    upstream.answer = answer
    for _ in range(2):
        cases, purse = await gathered(
            upstream, path, lambda asker, _: JudgeScorer(asker, "j"), count=3
        )
        assert [case.scores["a"].quality for case in cases] == [0.9] * 3
        assert {case.scores["b"].why for case in cases} == {"judge_unreadable"}
        assert purse.spent_usd == pytest.approx(upstream.asked.total() * COST_USD)
    # The three answers of n are told apart by their prompts; each is judged once.
    assert upstream.asked == {"m": 3, "n": 3, "judge": 6}


async def test_equal_answers_are_judged_once(upstream: Upstream, path: Path) -> None:
    upstream.answer = lambda model, _: (200, "SCORE: 8" if model == "judge" else "4")
    upstream.delay_s = 0.05
    cases, purse = await gathered(upstream, path, lambda asker, _: JudgeScorer(asker, "j"), count=2)
    assert {score.quality for case in cases for score in case.scores.values()} == {0.8}
    assert upstream.asked == {"m": 2, "n": 2, "judge": 2}
    assert purse.spent_usd == pytest.approx(upstream.asked.total() * COST_USD)


async def test_a_verifier_is_asked_once_and_its_troubles_are_told(
    upstream: Upstream, path: Path
) -> None:
    def answer(model: str, text: str) -> tuple[int, str]:
        if model == "verifier":
            return 200, '{"quality": 0.25}' if '"arm": "a"' in text else '{"quality": 7}'
        return 200, "4"

    upstream.answer = answer
    url = f"http://127.0.0.1:{upstream.port}/verify"
    for asked in (6, 9):
        async with httpx.AsyncClient(trust_env=False) as client:
            verifier = HttpVerifier(client, url)
            cases, _ = await gathered(
                upstream, path, lambda _, j, v=verifier: VerifierScorer(v, j), count=3
            )
        assert [case.scores["a"].quality for case in cases] == [0.25] * 3
        assert {case.scores["b"].why for case in cases} == {"verifier_failed"}
        assert upstream.asked["verifier"] == asked


async def test_a_journal_that_fails_ends_it_all(upstream: Upstream, path: Path) -> None:
    def make(_asker: Asker, journal: Journal) -> Scorer:
        journal.__exit__()
        return ReferenceScorer(Match.AUTO)

    arms = catalogue(upstream.port, a=["m"])
    journal = Journal.open(path)
    async with asking(arms, journal) as asker:
        gatherer = gathering(asker, make(asker, journal), Purse(1.0, 0.0), ["a"])
        with pytest.raises(JournalUnusable):
            await gatherer.gather(prompts(5), Silent())
    assert not upstream.asked
