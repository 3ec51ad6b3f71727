"""Writes that must arrive, and what becomes of them when they do not."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from router.domain.errors import StorageUnavailable
from router.observe.metrics import Metrics
from router.runtime.background import END_S, Background, retry_write


class Away:
    """A store that is away for so long. tries: when each was made."""

    def __init__(self, seconds: float) -> None:
        self._until_s = time.monotonic() + seconds
        self.tries: list[float] = []

    async def write(self) -> str:
        self.tries.append(time.monotonic())
        if time.monotonic() < self._until_s:
            raise StorageUnavailable("away")
        return "written"


async def test_a_write_is_tried_by_time_with_pauses_that_grow_and_differ() -> None:
    one, other = Away(1.0), Away(1.0)
    assert await asyncio.gather(retry_write(one.write, 5.0), retry_write(other.write, 5.0)) == [
        "written",
        "written",
    ]
    assert 4 <= len(one.tries) <= 12
    assert one.tries[-1] - one.tries[-2] > 2 * (one.tries[1] - one.tries[0])
    assert [b - a for a, b in pauses(one)] != pytest.approx([b - a for a, b in pauses(other)])


def pauses(away: Away) -> list[tuple[float, float]]:
    return list(zip(away.tries[:4], away.tries[1:5], strict=True))


async def test_a_write_is_given_up_when_its_time_is_over() -> None:
    away, began_s = Away(60.0), time.monotonic()
    with pytest.raises(StorageUnavailable):
        await retry_write(away.write, 0.4)
    assert 0.4 <= time.monotonic() - began_s < 2.0


async def test_what_could_not_be_written_is_spooled() -> None:
    spooled: list[object] = []
    background = Background(Metrics(), spool=spooled.append)
    with pytest.raises(StorageUnavailable):
        await background.insist(Away(60.0).write, "owed", 0.1)
    assert await background.insist(Away(0.0).write, "not owed", 0.1) == "written"
    assert spooled == ["owed"]


async def test_drain_is_bounded_and_spools_the_rest() -> None:
    spooled: list[object] = []
    background, away = Background(Metrics(), spool=spooled.append), Away(60.0)
    background.start(background.insist(away.write, "owed"))
    ended = background.start(background.insist(Away(0.1).write, "written"))
    began_s = time.monotonic()
    await background.drain(0.5)
    assert time.monotonic() - began_s < 0.5 + END_S
    assert (spooled, ended.result()) == (["owed"], "written")


async def test_drain_does_not_wait_for_work_that_will_not_end() -> None:
    background, began_s = Background(Metrics()), time.monotonic()

    async def stubborn() -> None:
        for _ in range(3):
            try:
                await asyncio.sleep(2 * END_S)
            except asyncio.CancelledError:
                continue

    work: asyncio.Task[Any] = background.start(stubborn())
    await background.drain(0.1)
    assert time.monotonic() - began_s < 1.0 + END_S
    while not work.done():
        work.cancel()
        await asyncio.sleep(0)


async def test_a_lost_write_is_counted_where_nobody_spools() -> None:
    metrics = Metrics()
    background = Background(metrics)
    with pytest.raises(StorageUnavailable):
        await background.insist(Away(60.0).write, "owed", 0.0)
    name = "adaptive_router_degraded_total"
    assert metrics.registry.get_sample_value(name, {"what": "write_lost"}) == 1
