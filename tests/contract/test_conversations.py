"""Suite of `router.ports.state.Conversations`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from router.adapters.storage import Storage
from router.domain.catalog import Deployment, Price
from router.domain.chat import ChatRequest, Message, Role, TextPart
from router.domain.conversations import Conversation, Seen, after_turn, own_key
from router.domain.records import Attempt, AttemptOutcome
from router.ports.state import Conversations

NOW_MS = 1_800_000_000_123
KNOWN = Conversation(
    seen=(("mini", Seen(900, NOW_MS - 60_000)), ("large", Seen(123_456, NOW_MS))),
    turns=7,
    first="gone",
    last="large",
    spent_usd=0.0123456789,
    stay_usd=1 / 3,
)
MOST_BYTES = 200
TURNS = 50


def chat(text: str) -> ChatRequest:
    return ChatRequest((Message(Role.USER, (TextPart(text),)),))


@dataclass
class InMemory:
    """Keeps conversations in a dict; `seconds` is the clock of their lives."""

    kept: dict[str, tuple[float, Conversation]] = field(default_factory=dict)
    seconds: float = 0.0

    async def find(self, keys: Sequence[str]) -> Sequence[Conversation | None]:
        found = (self.kept.get(key, (0.0, None)) for key in keys)
        return [known if until_s > self.seconds else None for until_s, known in found]

    async def keep(self, key: str, conversation: Conversation, ttl_s: int) -> None:
        self.kept[key] = self.seconds + ttl_s, conversation


@pytest.fixture(params=["redis", "memory"])
def conversations(request: pytest.FixtureRequest, storage: Storage) -> Conversations:
    return storage.conversations if request.param == "redis" else InMemory()


async def test_what_is_kept_is_found_in_the_order_asked(conversations: Conversations) -> None:
    await conversations.keep("a", KNOWN, 60)
    await conversations.keep("b", Conversation(turns=1), 60)
    assert await conversations.find(["b", "c", "a"]) == [Conversation(turns=1), None, KNOWN]


async def test_nothing_is_asked_for(conversations: Conversations) -> None:
    assert list(await conversations.find([])) == []


async def test_the_newest_is_kept(conversations: Conversations) -> None:
    await conversations.keep("a", KNOWN, 60)
    await conversations.keep("a", Conversation(), 60)
    assert await conversations.find(["a"]) == [Conversation()]


async def test_a_conversation_is_forgotten(storage: Storage) -> None:
    await storage.conversations.keep("a", KNOWN, 1)
    assert await storage.conversations.find(["a"]) == [KNOWN]
    await asyncio.sleep(1.1)
    assert await storage.conversations.find(["a"]) == [None]


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode({"turns": 1}),
        msgspec.msgpack.encode([["a"], [1, 2], [0, 0]]),
        msgspec.msgpack.encode([["a"], [1], [0], 0, 1, 5, 0]),
        msgspec.msgpack.encode([["a"], ["much"], [0]]),
    ],
)
async def test_what_cannot_be_read_is_a_conversation_that_begins(
    storage: Storage, damaged: bytes
) -> None:
    await storage.client.call("SET", storage.keys.turn("a"), damaged)
    await storage.conversations.keep("b", KNOWN, 60)
    assert await storage.conversations.find(["a", "b"]) == [None, KNOWN]


async def test_values_of_other_versions_are_read(storage: Storage) -> None:
    """An earlier one lacks what came after it, a later one holds more."""
    read = [["a"], [2_000], [5], NOW_MS, 1, 0, 0, 0.5, 0.25]
    for key, value in (("less", read[:5]), ("more", [*read, "more"])):
        data = msgspec.msgpack.encode(value)
        await storage.client.call("SET", storage.keys.turn(key), data)
    seen = (("a", Seen(2_000, NOW_MS - 5)),)
    assert await storage.conversations.find(["less", "more"]) == [
        Conversation(seen, turns=1),
        Conversation(seen, 1, "a", "a", 0.5, 0.25),
    ]


async def test_a_turn_takes_little_of_the_store(storage: Storage) -> None:
    """Three deployments with names of usual length take turns in a long session."""
    names = ("claude-sonnet-5", "gpt-5-mini-eu", "gemini-3-flash")
    deployments = [Deployment(name, "openai", "", "m", Price(1, 5)) for name in names]
    known, taken = Conversation(), list[int]()
    for number in range(TURNS):
        made = deployments[number % 3]
        attempt = Attempt(
            "arm", made.name, "m", AttemptOutcome.ACCEPTED, "passed", 900.0, 4_000 + 1_000 * number,
            400, cost_usd=0.0123 + number / 7,
        )  # fmt: skip
        at_ms = NOW_MS + 20_000 * number
        known = after_turn(known, made, [attempt], at_ms, first=deployments[0])
        key = own_key("acme", chat(f"turn {number}"))
        await storage.conversations.keep(key, known, 3_600)
        stored = storage.keys.turn(key)
        value = await storage.client.call("GET", stored)
        # The prefix of this store is longer than the usual `ar:`.
        taken.append(len(value) + len("ar:turn:") + len(key))
    assert len(known.seen) == 3
    assert max(taken) <= MOST_BYTES, taken
