"""Many prompts to several arms: paid completely or not at all, scored and judged once."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from router.adapters.verifier import HttpVerifier
from router.tools.calibrate.collect.arm_client import ArmClient, Missing
from router.tools.calibrate.collect.budget import Budget
from router.tools.calibrate.collect.journal import Answered, Journal, JournalUnusable
from router.tools.calibrate.collect.matching import Match
from router.tools.calibrate.collect.scoring import (
    JudgeScorer,
    ReferenceScorer,
    Scorer,
    VerifierScorer,
)
from tests.router.tools.calibrate.arms import (
    COST_USD,
    Silent,
    asking,
    catalog,
    gathered,
    gathering,
    prompts,
)
from tests.router.tools.calibrate.conftest import Upstream


async def test_prompts_are_asked_of_every_arm_until_the_budget_ends(
    upstream: Upstream, path: Path
) -> None:
    def make(_client: ArmClient, _journal: Journal) -> Scorer:
        return ReferenceScorer(Match.AUTO)

    cases, budget = await gathered(upstream, path, make, budget_usd=0.012, count=40)
    answered = [case for case in cases if isinstance(case.replies["a"], Answered)]
    assert 3 < len(answered) < 40
    assert all(isinstance(case.replies["b"], Answered) for case in answered)
    assert {c.replies["b"] for c in cases if c not in answered} == {Missing("budget")}
    assert budget.spent_usd == pytest.approx(len(answered) * 2 * COST_USD)
    assert budget.spent_usd <= 0.012
    again, _ = await gathered(upstream, path, make, budget_usd=0.0001, count=40)
    assert [c.scores for c in again] == [c.scores for c in cases]
    assert upstream.asked.total() == len(answered) * 2


async def test_concurrent_calls_stay_within_the_limit(upstream: Upstream, path: Path) -> None:
    upstream.delay_s = 0.2
    await gathered(upstream, path, lambda *_: ReferenceScorer(Match.AUTO), count=4)
    assert upstream.most_at_once == 4


async def test_a_judge_is_paid_once_per_answer(upstream: Upstream, path: Path) -> None:
    def answer(model: str, text: str) -> tuple[int, str]:
        if model == "judge":
            return 200, "SCORE: 9" if '"answer": "from m' in text else "well, well"
        return 200, f"from {model}"

    upstream.answer = answer
    for _ in range(2):
        cases, budget = await gathered(
            upstream, path, lambda client, _: JudgeScorer(client, "j"), count=3
        )
        assert [case.scores["a"].quality for case in cases] == [0.9] * 3
        assert {case.scores["b"].why for case in cases} == {"judge_unreadable"}
        assert budget.spent_usd == pytest.approx(upstream.asked.total() * COST_USD)
    # The three answers of n are told apart by their prompts; each is judged once.
    assert upstream.asked == {"m": 3, "n": 3, "judge": 6}


async def test_equal_answers_are_judged_once(upstream: Upstream, path: Path) -> None:
    upstream.answer = lambda model, _: (200, "SCORE: 8" if model == "judge" else "4")
    upstream.delay_s = 0.05
    cases, budget = await gathered(
        upstream, path, lambda client, _: JudgeScorer(client, "j"), count=2
    )
    assert {score.quality for case in cases for score in case.scores.values()} == {0.8}
    assert upstream.asked == {"m": 2, "n": 2, "judge": 2}
    assert budget.spent_usd == pytest.approx(upstream.asked.total() * COST_USD)


async def test_money_for_judging_is_reserved_for_answers_without_a_score(
    upstream: Upstream, path: Path
) -> None:
    def answer(model: str, _text: str) -> tuple[int, str]:
        if model == "n" and not opened:
            return 503, "busy"
        return 200, "SCORE: 8" if model == "judge" else f"from {model}"

    def make(client: ArmClient, _journal: Journal) -> Scorer:
        return JudgeScorer(client, "j")

    opened: list[int] = []
    upstream.answer = answer
    await gathered(upstream, path, make, count=1)
    opened.append(1)
    arms = catalog(upstream.port, a=["m"], b=["n"], j=["judge"])
    with Journal.open(path) as journal:
        async with asking(arms, journal) as client:
            one = prompts()[0]
            judge = JudgeScorer(client, "j")
            left_usd = client.most_usd(one.chat, "b") + judge.most_usd(one, None)
            collector = gathering(client, judge, Budget(1.0, 0.0), ["a", "b"])
            assert collector.most_usd(one) == pytest.approx(left_usd)
        budget_usd = journal.ledger.spent_usd + left_usd * 1.001
    cases, _ = await gathered(upstream, path, make, count=1, budget_usd=budget_usd)
    assert cases[0].scores["b"].quality == 0.8
    with Journal.open(path) as journal:
        async with asking(arms, journal) as client:
            collector = gathering(client, JudgeScorer(client, "j"), Budget(1.0, 0.0), ["a", "b"])
            assert collector.most_usd(one) == 0


async def test_a_verifier_is_asked_once_and_its_failures_are_counted(
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
                upstream, path, lambda _, j, v=verifier: VerifierScorer(v, url, j), count=3
            )
        assert [case.scores["a"].quality for case in cases] == [0.25] * 3
        assert {case.scores["b"].why for case in cases} == {"verifier_failed"}
        assert upstream.asked["verifier"] == asked


async def test_a_failing_journal_ends_the_collection(upstream: Upstream, path: Path) -> None:
    def make(_client: ArmClient, journal: Journal) -> Scorer:
        journal.__exit__()
        return ReferenceScorer(Match.AUTO)

    arms = catalog(upstream.port, a=["m"])
    journal = Journal.open(path)
    async with asking(arms, journal) as client:
        collector = gathering(client, make(client, journal), Budget(1.0, 0.0), ["a"])
        with pytest.raises(JournalUnusable):
            await collector.collect(prompts(5), Silent())
    assert not upstream.asked
