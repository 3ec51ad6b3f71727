"""The runner's own upstream: what it is told to write is what is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.dialects import DIALECTS, Dialect
from tests.e2e.wire import (
    Asked,
    Reply,
    Wire,
    asked_live,
    asked_whole,
    events,
    on_uvloop,
    routed,
    whole,
)


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def good(spoken: Dialect, asked: Asked) -> Reply:
    finish = spoken.finishes["stop"]
    if asked.streams:
        return events(*spoken.pieces(["Forty", "-two."], None, finish), done=spoken.end_mark != b"")
    return whole(spoken.whole("Forty-two.", None, finish))


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_a_good_answer_is_read_whole_and_as_a_stream(spoken: Dialect, tmp_path: Path) -> None:
    wire = Wire(lambda asked: good(spoken, asked), spoken.name)
    async with routed(tmp_path, {"only": [wire]}) as router:
        answer = await asked_whole(router)
        assert answer.answer.text == "Forty-two."
        *deltas, done = await asked_live(router)
        assert "".join(item.text_delta for item in deltas) == "Forty-two."
        assert done.done.receipt.attempts[0].deployment == "only0"
    assert [asked.streams for asked in wire.asked] == [False, True]
