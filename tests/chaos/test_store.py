"""The short version of `scripts/chaos store`, and a verdict that finds every broken promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.chaos.books import Differences
from bench.chaos.outcome import End, StoreOutcome, Window
from bench.chaos.stage import PRICES, Cast
from bench.chaos.store import run
from bench.chaos.traffic import DEADLINE_S, GRACE_S, Call, Fate
from demo.upstream import LedgerEntry

ANSWERED = Call(1, asked_s=1.0, took_s=0.5, fate=Fate.ANSWERED, told=True)
PAID = LedgerEntry("cheap", "Question 1: what?", 150, 50.0, began_s=1.2)
CHARGED_USD = PRICES["cheap"] * 200 / 1e6
END = End(early=(), slow=(), spooled=0, backlog=0, same=True, replay="the same")
GOOD = StoreOutcome(
    windows=[Window("full", 0.5, 5.0, 10.0)],
    calls=[ANSWERED],
    ledger=[PAID],
    wrong=Differences(),
    twice=(),
    redis_lost=0,
    charged_usd=CHARGED_USD,
    end=END,
)
HUNG = Call(2, asked_s=1.0, took_s=DEADLINE_S + GRACE_S + 0.1, fate=Fate.HUNG)
REFUSED = Call(1, asked_s=1.0, took_s=0.5, fate=Fate.REFUSED, reason="STORAGE_UNAVAILABLE")
ILL = Call(3, asked_s=9.0, fate=Fate.REFUSED, reason="STORAGE_UNAVAILABLE")


@pytest.mark.slow
async def test_whatever_becomes_of_the_store_promises_are_kept(tmp_path: Path) -> None:
    cast = Cast(routers=2, learners=1, drain_ms=5_000)
    outcome = await run(["idle", "failover"], seed=1, folder=tmp_path, cast=cast)
    assert sum(call.fate is Fate.ANSWERED for call in outcome.calls) > 100
    assert outcome.kept, "\n".join(outcome.lines())


def test_a_run_without_fault_is_kept() -> None:
    assert GOOD.kept
    assert not any(line.startswith("BROKEN") for line in GOOD.lines())


@pytest.mark.parametrize(
    "bad",
    [
        replace(GOOD, calls=[ANSWERED, HUNG]),
        replace(GOOD, calls=[REFUSED]),
        replace(GOOD, calls=[ANSWERED, ILL]),
        replace(GOOD, wrong=Differences(lost=["a"])),
        replace(GOOD, wrong=Differences(doubled=["a"])),
        replace(GOOD, wrong=Differences(feedback_lost=["a"])),
        replace(GOOD, wrong=Differences(feedback_doubled=["a"])),
        replace(GOOD, twice=[("a", "b")]),
        replace(GOOD, charged_usd=CHARGED_USD * 1.06),
        replace(GOOD, charged_usd=CHARGED_USD * 0.94),
        replace(GOOD, end=replace(END, early=["router-0"])),
        replace(GOOD, end=replace(END, slow=["router-0"])),
        replace(GOOD, end=replace(END, spooled=1)),
        replace(GOOD, end=replace(END, backlog=1)),
        replace(GOOD, end=replace(END, same=False)),
    ],
)
def test_one_broken_promise_is_found(bad: StoreOutcome) -> None:
    assert not bad.kept
    assert sum(line.startswith("BROKEN") for line in bad.lines()) == 1


def test_a_refusal_before_anything_was_paid_or_by_a_killed_router_breaks_no_promise() -> None:
    cut = replace(REFUSED, reason="UNAVAILABLE, no reason")
    assert replace(GOOD, calls=[ANSWERED, replace(REFUSED, number=2), cut]).kept
