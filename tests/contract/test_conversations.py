"""Suite of `router.ports.state.Conversations`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from router.adapters.storage import Storage
from router.domain.catalog import Deployment, Price
from router.domain.chat import ChatRequest, Message, Role, TextPart
from router.domain.conversations import MOST_SEEN, Conversation, Seen, after_turn, turn_keys
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
NAMES = ("mini", "large", "gone")
MOST_BYTES = 200
TURNS = 50


def chat(text: str) -> ChatRequest:
    return ChatRequest((Message(Role.USER, (TextPart(text),)),))


def among(known: Conversation, deployments: Sequence[str]) -> Conversation:
    first, last = (name if name in deployments else "" for name in (known.first, known.last))
    seen = tuple(pair for pair in known.seen if pair[0] in deployments)
    return replace(known, seen=seen, first=first, last=last)


@dataclass
class InMemory:
    """Keeps conversations in a dict; `seconds` is the clock of their lives."""

    kept: dict[str, tuple[float, Conversation]] = field(default_factory=dict)
    seconds: float = 0.0

    async def find(
        self, keys: Sequence[str], deployments: Sequence[str]
    ) -> Sequence[Conversation | None]:
        found = (self.kept.get(key, (0.0, None)) for key in keys)
        there = [known if until_s > self.seconds else None for until_s, known in found]
        return [known and among(known, deployments) for known in there]

    async def keep(self, key: str, conversation: Conversation, ttl_s: int) -> None:
        self.kept[key] = self.seconds + ttl_s, conversation


@pytest.fixture(params=["redis", "memory"])
def conversations(request: pytest.FixtureRequest, storage: Storage) -> Conversations:
    return storage.conversations if request.param == "redis" else InMemory()


async def test_what_is_kept_is_found_in_the_order_asked(conversations: Conversations) -> None:
    await conversations.keep("a", KNOWN, 60)
    await conversations.keep("b", Conversation(turns=1), 60)
    assert await conversations.find(["b", "c", "a"], NAMES) == [Conversation(turns=1), None, KNOWN]


async def test_nothing_is_asked_for(conversations: Conversations) -> None:
    assert list(await conversations.find([], NAMES)) == []


async def test_the_newest_is_kept(conversations: Conversations) -> None:
    await conversations.keep("a", KNOWN, 60)
    await conversations.keep("a", Conversation(), 60)
    assert await conversations.find(["a"], NAMES) == [Conversation()]


async def test_a_conversation_is_forgotten(storage: Storage) -> None:
    await storage.conversations.keep("a", KNOWN, 1)
    assert await storage.conversations.find(["a"], NAMES) == [KNOWN]
    await asyncio.sleep(1.1)
    assert await storage.conversations.find(["a"], NAMES) == [None]


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode({"turns": 1}),
        msgspec.msgpack.encode([b"cut off"]),
        msgspec.msgpack.encode([b"\x00" * 10, NOW_MS, 1, 1, 0]),
        msgspec.msgpack.encode(["text", NOW_MS]),
        msgspec.msgpack.encode([b"", NOW_MS, "many"]),
    ],
)
async def test_what_cannot_be_read_is_a_conversation_that_begins(
    storage: Storage, damaged: bytes
) -> None:
    await storage.client.call("SET", storage.keys.turn("a"), damaged)
    await storage.conversations.keep("b", KNOWN, 60)
    assert await storage.conversations.find(["a", "b"], NAMES) == [None, KNOWN]


async def test_values_of_other_versions_are_read(storage: Storage) -> None:
    """An earlier one lacks what came after it, a later one holds more."""
    await storage.conversations.keep("a", KNOWN, 60)
    kept = msgspec.msgpack.decode(await storage.client.call("GET", storage.keys.turn("a")))
    for key, value in (("less", kept[:3]), ("more", [*kept, "more"])):
        data = msgspec.msgpack.encode(value)
        await storage.client.call("SET", storage.keys.turn(key), data)
    assert await storage.conversations.find(["less", "more"], NAMES) == [
        Conversation(KNOWN.seen, turns=7),
        KNOWN,
    ]


async def test_deployments_that_are_gone_are_forgotten(conversations: Conversations) -> None:
    await conversations.keep("a", KNOWN, 60)
    (found,) = await conversations.find(["a"], ["mini", "new"])
    assert found == replace(KNOWN, seen=KNOWN.seen[:1], first="", last="")


async def test_what_was_read_is_kept_to_the_second_and_never_younger(storage: Storage) -> None:
    read = [("d0", 0), ("d1", 1), ("d2", 999), ("d3", 1_000), ("d4", 1_001), ("d5", 70_000_000)]
    seen = tuple((name, Seen(2**33, NOW_MS - age_ms)) for name, age_ms in read)
    await storage.conversations.keep("a", Conversation(seen, turns=1), 60)
    (found,) = await storage.conversations.find(["a"], [name for name, _ in read])
    assert found is not None
    ages = {name: NOW_MS - s.at_ms for name, s in found.seen}
    # What is older than can be told is forgotten.
    assert ages == {"d0": 0, "d1": 1_000, "d2": 1_000, "d3": 1_000, "d4": 2_000}
    assert {s.tokens for _, s in found.seen} == {2**32 - 1}


@pytest.mark.parametrize("deployments", [1, 3, 8, 12])
async def test_a_turn_takes_little_of_the_store(storage: Storage, deployments: int) -> None:
    """Deployments take turns in a long session."""
    made = [
        Deployment(f"a-deployment-of-a-long-name-{i}", "openai", "", "m", Price(1, 5))
        for i in range(deployments)
    ]
    known, taken = Conversation(), list[int]()
    for number in range(TURNS):
        name, tokens = made[number % deployments].name, 4_000 + 2_000 * number
        attempt = Attempt(
            "arm", name, "m", AttemptOutcome.ACCEPTED, "passed", 900.0, tokens, 400,
            cost_usd=0.0123 + number / 7,
        )  # fmt: skip
        at_ms = NOW_MS + 20_000 * number
        known = after_turn(known, made[number % deployments], [attempt], at_ms, first=made[0])
        key = turn_keys("acme", chat(f"turn {number}")).own
        await storage.conversations.keep(key, known, 3_600)
        stored = storage.keys.turn(key)
        value = await storage.client.call("GET", stored)
        # The prefix of this store is longer than the usual `ar:`.
        taken.append(len(value) + len("ar:turn:") + len(key))
    assert len(known.seen) == min(deployments, MOST_SEEN)
    assert max(taken) <= MOST_BYTES, taken
