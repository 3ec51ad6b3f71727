"""Nothing is lost on the way through: what a client sent is what its protocol's provider gets.

Held byte for byte after decoding JSON, for recorded shapes of coding agents and for requests by
chance. What the router changes on purpose is all in `due`, which docs/api.md lists.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import KEY, Router
from tests.e2e.http_doors import PATIENCE_S, door, says, url
from tests.e2e.shapes import PATHS, Dice, Shape, due, exact, names, recorded
from tests.e2e.test_http_messages import thinks
from tests.e2e.wire import Wire, on_uvloop

ROOM = ", images: yes, context_window_tokens: 1000000, max_output_tokens: 64000"
CHAT, MESSAGES = names(PATHS["chat"]), names(PATHS["messages"])
BY_CHANCE = 60


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


async def sent(router: Router, wire: Wire, shape: Shape) -> Any:
    """Returns the provider's view of a request that was answered."""
    before = len(wire.asked)
    headers = {"authorization": f"Bearer {KEY}"} | shape.headers
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        body = shape.body | {"model": "a"}
        got = await client.post(url(router) + shape.path, json=body, headers=headers)
        assert got.status_code == 200, got.text
    assert len(wire.asked) == before + 1
    return wire.asked[-1]


def test_every_door_has_recorded_shapes() -> None:
    assert len(CHAT) >= 4
    assert len(MESSAGES) >= 3


@pytest.mark.parametrize("name", CHAT)
@on_uvloop
async def test_recorded_chats_arrive_as_they_were_sent(tmp_path: Path, name: str) -> None:
    wire = Wire(says('{"city": "Oslo"}'), options=ROOM)
    async with door(tmp_path, wire) as router:
        got = (await sent(router, wire, recorded(name))).body
    assert exact(got) == exact(due(recorded(name), got))


@pytest.mark.parametrize("name", MESSAGES)
@on_uvloop
async def test_recorded_messages_arrive_as_they_were_sent(tmp_path: Path, name: str) -> None:
    wire, shape = Wire(thinks, provider="anthropic", options=ROOM), recorded(name)
    async with door(tmp_path, wire) as router:
        asked = await sent(router, wire, shape)
    assert exact(asked.body) == exact(due(shape, asked.body))
    assert asked.headers.get("anthropic-beta") == shape.headers.get("anthropic-beta")


@pytest.mark.parametrize("seed", range(3))
@on_uvloop
async def test_chats_by_chance_arrive_as_they_were_sent(tmp_path: Path, seed: int) -> None:
    wire, dice = Wire(says(), options=ROOM), Dice(seed)
    async with door(tmp_path, wire) as router:
        for _ in range(BY_CHANCE):
            shape = dice.chat()
            got = (await sent(router, wire, shape)).body
            assert exact(got) == exact(due(shape, got)), shape.body


@pytest.mark.parametrize("seed", range(3))
@on_uvloop
async def test_messages_by_chance_arrive_as_they_were_sent(tmp_path: Path, seed: int) -> None:
    wire, dice = Wire(thinks, provider="anthropic", options=ROOM), Dice(seed)
    async with door(tmp_path, wire) as router:
        for _ in range(BY_CHANCE):
            shape = dice.messages()
            got = (await sent(router, wire, shape)).body
            assert exact(got) == exact(due(shape, got)), shape.body
