"""`scripts/bench learner`, short: a real Redis, the service's own learner."""

from __future__ import annotations

import re

import pytest

from bench.load import learner


@pytest.mark.slow
async def test_it_tells_what_was_learned_and_what_that_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await learner.run(400, challenged=False)
    told = capsys.readouterr().out
    rate = re.search(
        r"^400 decisions with feedback, 0 challengers: (\d+) events a second$", told, re.MULTILINE
    )
    assert rate
    assert int(rate[1]) > 0
    assert re.search(r"published that after \d", told)
    assert re.search(r"[1-9]\d+ KiB; in Redis [1-9]\d+ bytes an event", told)
