"""Conversations are recognised, and the receipt says what is warm and what staying had cost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from adaptive_router.v1 import chat_pb2, router_pb2

from router.domain.records import DecisionRecord
from router.learning.learner_state import split
from tests.e2e.conftest import Router, learned
from tests.e2e.prompt_caches import AnthropicBiller, Biller, GeminiBiller, OpenAIBiller, Rates
from tests.e2e.test_bills import said
from tests.e2e.test_locked_loops import decided
from tests.e2e.wire import on_uvloop, routed

RULES = "Be kind, be exact; " * 400
USD = 1e-6
TOLERANCE = 1e-6


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def _unused(_: Any) -> Any:
    raise AssertionError


def billers() -> dict[str, Biller]:
    """Returns models of three dialects; thinking is charged as output is."""
    return {
        "openai": OpenAIBiller(_unused, rates=Rates(read=2, written=2, cached=0.5)),
        "claude": AnthropicBiller(
            _unused,
            rates=Rates(read=3, cached=0.3, written=3.75),
            options=", prompt_caching: automatic",
        ),
        "gemini": GeminiBiller(_unused, rates=Rates(read=1, written=1, cached=0.25)),
    }


def wires(made: dict[str, Biller]) -> Any:
    return {name: [biller] for name, biller in made.items()}


@dataclass(slots=True)
class Talk:
    """A conversation as its caller holds it."""

    router: Router
    rules: str = RULES
    metadata: Any = None
    messages: list[chat_pb2.Message] = field(default_factory=list)
    receipts: list[router_pb2.Receipt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metadata = self.metadata or self.router.metadata
        self.messages = [said("system", self.rules)]

    @property
    def chat(self) -> chat_pb2.ChatRequest:
        return chat_pb2.ChatRequest(messages=self.messages)

    def ask(self, text: str = "") -> None:
        number = len(self.messages)
        self.messages.append(said("user", text or f"Question {number}: " + "why? " * 60))

    def hear(self, text: str, opaque: Any = ()) -> None:
        self.messages.append(said("assistant", text, opaque=opaque))

    async def turn(self, **routing: Any) -> router_pb2.Receipt:
        self.ask()
        return await self.again(**routing)

    async def again(self, **routing: Any) -> router_pb2.Receipt:
        """Send what there is, and take the answer into the history."""
        options = router_pb2.RoutingOptions(**routing)
        request = router_pb2.CompleteRequest(chat=self.chat, routing=options)
        done = await self.router.stub.Complete(request, metadata=self.metadata)
        self.hear(done.answer.text, done.answer.opaque)
        self.receipts.append(done.receipt)
        return done.receipt


def input_of(receipt: router_pb2.Receipt) -> int:
    return sum(attempt.input_tokens for attempt in receipt.attempts)


async def recorded(router: Router, receipt: router_pb2.Receipt) -> DecisionRecord:
    return (await decided(router))[receipt.decision_id]


@on_uvloop
@pytest.mark.parametrize("arm", billers())
async def test_who_never_switches_is_warm_from_the_second_turn(tmp_path: Path, arm: str) -> None:
    made = billers()
    async with routed(tmp_path, wires(made)) as router:
        talk = Talk(router)
        for _ in range(4):
            await talk.turn(arm=arm)
    turns = [receipt.turn for receipt in talk.receipts]
    assert [turn.number for turn in turns] == [1, 2, 3, 4]
    # A turn finds warm what the one before it had read, and the provider finds nearly all of it.
    read = [input_of(receipt) for receipt in talk.receipts]
    assert [turn.warm_tokens for turn in turns] == [0, *read[:-1]]
    cached = [a.cached_input_tokens for r in talk.receipts for a in r.attempts]
    assert cached[0] == 0
    assert all(0.8 * w < c <= w for w, c in zip(read, cached[1:], strict=False))
    assert turns[-1].spent_usd == pytest.approx(made[arm].usd, rel=TOLERANCE)
    assert [t.stay_usd for t in turns] == pytest.approx([t.spent_usd for t in turns])


@on_uvloop
async def test_the_receipt_says_what_never_switching_had_cost(tmp_path: Path) -> None:
    made = billers()
    async with routed(tmp_path, wires(made)) as router:
        talk = Talk(router)
        for arm in ("claude", "gemini", "openai", "claude"):
            await talk.turn(arm=arm)
    turns, read = [r.turn for r in talk.receipts], [input_of(r) for r in talk.receipts]
    output = [sum(a.output_tokens for a in r.attempts) for r in talk.receipts]
    # Each is cold but the one that had answered before, which has its first turn still.
    assert [turn.warm_tokens for turn in turns] == [0, 0, 0, read[0]]
    assert turns[-1].spent_usd == pytest.approx(sum(b.usd for b in made.values()), rel=TOLERANCE)
    # Claude had read each turn's input before and written the rest: that is what staying had cost.
    costs, price = [talk.receipts[0].cost_usd], made["claude"].rates
    for before, now, said_tokens in zip(read, read[1:], output[1:], strict=False):
        cached = min(before, now)
        new = (now - cached) * price.written
        costs.append((cached * price.cached + new + said_tokens * price.said) * USD)
    stays = [turn.stay_usd for turn in turns]
    assert stays == pytest.approx([sum(costs[: i + 1]) for i in range(4)], rel=TOLERANCE)
    assert stays[-1] < turns[-1].spent_usd


@on_uvloop
async def test_a_later_turn_is_chosen_with_its_facts(tmp_path: Path) -> None:
    """Its embedding is at hand, so the choice could be made early: not before it is recognised."""
    made = billers()
    sections = "cache: {enabled: false}\npolicy: {typical_tokens: {output: 20}}"
    async with routed(tmp_path, wires(made), sections=sections) as router:
        cold, warm = Talk(router), Talk(router)
        first = await warm.turn(arm="openai")
        warm.ask("And then?")
        cold.messages = [*warm.messages]
        cold.messages[0] = said("system", RULES + ".")
        for talk in (cold, warm, cold, warm):
            request = router_pb2.DecideRequest(chat=talk.chat)
            made_for = await router.stub.Decide(request, metadata=router.metadata)
            talk.receipts.append(made_for.receipt)
        records = [r async for r in router.storage.kept.each(100)]
    by_id = {record.id: record for record in records}

    def prices(receipt: router_pb2.Receipt) -> dict[str, float]:
        choice = by_id[receipt.decision_id].choice
        assert choice is not None
        return {name: input_usd for name, _, input_usd, _ in choice.prices}

    for cold_receipt, warm_receipt in zip(cold.receipts, warm.receipts[1:], strict=True):
        known, unknown = prices(warm_receipt), prices(cold_receipt)
        assert known["claude"] == pytest.approx(unknown["claude"], rel=0.01)
        # At OpenAI's four fifths of the prefix are expected to be read at a quarter of the price.
        saved = 0.8 * input_of(first) * (2 - 0.5) * USD
        assert unknown["openai"] - known["openai"] == pytest.approx(saved, rel=0.02)
        turn = by_id[warm_receipt.decision_id].turn
        assert turn is not None
        assert (turn.number, turn.warm) == (2, (("openai0", input_of(first)),))


@on_uvloop
async def test_what_is_warm_teaches_how_much_of_it_is_found(tmp_path: Path) -> None:
    async with routed(tmp_path, wires(billers()), learns=True) as router:
        talk = Talk(router)
        for _ in range(8):
            await talk.turn(arm="openai", task="support")
        questions = (f"Tell me of moss, {n}." for n in range(1_000))
        await learned(router, questions)
        stored = await router.storage.snapshots.load()
        records = await decided(router)
    assert stored is not None
    rates = split(stored.payload).rates
    assert rates is not None
    facts = [records[receipt.decision_id].turn for receipt in talk.receipts]
    (application,) = {turn.application for turn in facts if turn is not None}
    _, first, second, later, _, grown = next(
        row for row in rates["applications"] if row[0] == application
    )
    assert (first, second, later, grown) == pytest.approx((1, 1, 6, 7), rel=0.02)
    row = next(row for row in rates["deployments"] if row[0] == "openai0")
    hits, matches = row[3:5]
    assert matches == pytest.approx(7, rel=0.02)
    assert 0.8 < hits / matches < 1


@on_uvloop
async def test_the_callers_own_calls_are_turns_once_they_are_told_of(tmp_path: Path) -> None:
    async with routed(tmp_path, wires(billers())) as router:
        talk = Talk(router)
        spent = 0.0
        for number in range(1, 4):
            talk.ask()
            request = router_pb2.DecideRequest(
                chat=talk.chat, routing=router_pb2.RoutingOptions(arm="gemini")
            )
            made = await router.stub.Decide(request, metadata=router.metadata)
            assert made.receipt.turn.number == number
            assert made.receipt.turn.warm_tokens == (2_000 * (number - 1) if number > 1 else 0)
            outcome = router_pb2.ReportOutcomeRequest(
                decision_id=made.receipt.decision_id,
                latency_ms=100,
                input_tokens=2_000 * number,
                output_tokens=50,
            )
            told = await router.stub.ReportOutcome(outcome, metadata=router.metadata)
            spent += told.cost_usd
            record = await recorded(router, made.receipt)
            assert record.turn is not None
            assert record.turn.spent_usd == pytest.approx(spent)
            assert record.turn.stay_usd == pytest.approx(spent)
            talk.hear(f"Answer {number}.")
            await settled(router)


async def settled(router: Router) -> None:
    """Wait for a moment's write beside an answer."""
    await router.storage.client.call("PING")
    await asyncio.sleep(0.05)


@on_uvloop
async def test_asking_whom_to_call_leaves_a_kept_turn_as_it_is(tmp_path: Path) -> None:
    """The same request was answered before; the caller's own call fails, or is never told of."""
    async with routed(tmp_path, wires(billers())) as router:
        talk = Talk(router)
        first = await talk.turn(arm="openai")
        second = await talk.turn(arm="openai")
        for messages in (talk.messages[:2], talk.messages[:4]):
            chat = chat_pb2.ChatRequest(messages=messages)
            routing = router_pb2.RoutingOptions(arm="gemini")
            request = router_pb2.DecideRequest(chat=chat, routing=routing)
            await router.stub.Decide(request, metadata=router.metadata)
        await settled(router)
        third = await talk.turn(arm="openai")
    assert (third.turn.number, third.turn.warm_tokens) == (3, input_of(second))
    costs = sum(r.cost_usd for r in (first, second, third))
    assert third.turn.spent_usd == pytest.approx(costs)


@on_uvloop
async def test_what_is_remembered_is_forgotten_in_time(tmp_path: Path) -> None:
    """What was read longer ago is not carried along, and a value lives no longer than that."""
    sections = "cache: {enabled: false}\nsessions: {remember_s: 2}"
    async with routed(tmp_path, wires(billers()), sections=sections) as router:
        talk = Talk(router)
        await talk.turn(arm="openai")
        async with asyncio.timeout(60):
            begun = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < begun + 2.5:
                await talk.turn(arm="gemini")
                await asyncio.sleep(0.4)
        stored = await router.storage.client.call("KEYS", "ar:turn:*")
        lives = [await router.storage.client.call("TTL", key) for key in stored]
        keys = [key.decode().removeprefix("ar:turn:") for key in stored]
        found = await router.storage.conversations.find(keys, ["openai0", "gemini0"])
    assert max(lives) <= 2
    newest = max((known for known in found if known), key=lambda known: known.turns)
    assert dict(newest.seen).keys() == {"gemini0"}
