"""Evidence bought on a replayed stream: what is asked, charged and counted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import tiny

from bench.lab.jobs import Job, Material, ReplayFactory, ReplayTerms, run_stream
from bench.lab.replay import Replay, ReplayRun
from bench.lab.setup import Variant
from bench.lab.streams import Stream, draw
from router.domain.events import EvidenceBought

NO_VW = Variant("adaptive, no VW", "adaptive", vw=False)


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    return tiny.stream(tiny.write(tmp_path / "a.parquet", tiny.columns()), 120)


def bought(stream: Stream, ahead: float, delay: int = 0) -> tuple[Replay, ReplayRun]:
    terms = ReplayTerms(delay=delay, shipped_map=True, buy_ahead=ahead)
    factory = ReplayFactory(Material({"tiny": stream}, {"tiny": tiny.vectors()}, terms))
    split = draw(stream, 0)
    replay = factory.build(Job("tiny", 0.1, 0, NO_VW, 0), split)
    return replay, asyncio.run(run_stream(replay, split, 0, terms))


def purchases(replay: Replay) -> list[EvidenceBought]:
    return [event for event in replay.log if isinstance(event, EvidenceBought)]


def test_what_is_asked_is_charged_and_what_was_served_is_not(stream: Stream) -> None:
    replay, run = bought(stream, 5_000.0)
    events = purchases(replay)
    assert len(events) > 5
    asked = sum(a.cost_usd or 0.0 for e in events for a in e.arms if not a.served)
    assert run.evidence_usd.sum() == pytest.approx(asked)  # type: ignore[union-attr]
    assert asked > 0
    assert all(sum(a.served for a in event.arms) == 1 for event in events)


def test_every_request_counts_once_as_bought_or_as_heard(stream: Stream) -> None:
    replay, run = bought(stream, 5_000.0)
    ledger = replay._buyer.ledger  # type: ignore[union-attr]  # noqa: SLF001 - no other way to it
    events = purchases(replay)
    asked = sum(len(event.arms) for event in events)
    labels = [ledger.labels(arm, "") for arm in stream.data.arms]
    begun = int(events[0].decision_id)
    assert sum(labels) == len(run.arm) - begun - len(events) + asked


def test_longer_use_buys_more(stream: Stream) -> None:
    few, many = (len(purchases(bought(stream, ahead)[0])) for ahead in (2_000.0, 200_000.0))
    assert few < many


def test_what_is_not_learned_yet_does_not_sway_the_buyer(stream: Stream) -> None:
    worths = []
    for delay in (0, 60):
        events = purchases(bought(stream, 200_000.0, delay)[0])
        worths.append({round(e.value_usd, 9) for e in events if int(e.decision_id) < 60})
    at_once, late = worths
    assert len(late) <= len(stream.data.arms) < len(at_once)
