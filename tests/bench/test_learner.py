"""`scripts/bench learner`, short: a real Redis, the service's own learner."""

from __future__ import annotations

import re

import pytest

from bench import learner


async def test_what_was_written_is_learned_and_a_successor_learns_nothing_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await learner.run(150, challenged=False)
    told = capsys.readouterr().out
    assert told.startswith("300 events of 150 decisions, 0 challengers: learned in ")
    assert re.search(r"finds a snapshot of all of them is there after \d", told)
    assert float(re.search(r"(\d+) bytes an event", told)[1]) > 100  # type: ignore[index]
