"""Turns that are kept damaged, told apart badly by callers, or of a clock that was set back."""

from __future__ import annotations

import math
import struct
import time
from pathlib import Path

import msgspec
import pytest
from adaptive_router.v1 import chat_pb2, router_pb2

from router.adapters.storage.short_lived import _mark
from router.domain import MS_PER_S
from router.domain.chat import ChatRequest, Message, Role, TextPart
from router.domain.conversations import Conversation, Seen, turn_keys
from router.learning.learner_state import split
from router.learning.request_rates import RequestRates
from router.serving.request_prices import TOKENS_PER_BYTE, tokens_per_byte
from tests.e2e.conftest import learned
from tests.e2e.test_bills import said
from tests.e2e.test_conversations import RULES, Talk, billers, input_of, settled, wires
from tests.e2e.test_odd_conversations import billed, facts, usage_usd
from tests.e2e.wire import Wire, on_uvloop, routed, whole

NOW_MS = int(time.time() * MS_PER_S)
READING = struct.pack("<4sIH", _mark("openai0"), 2_000, 0)
_packed = msgspec.msgpack.encode


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


DAMAGED: dict[str, bytes] = {
    "fewer than none": _packed([READING, NOW_MS, -5, 0, 0]),
    "more than there are": _packed([READING, NOW_MS, 2**32 - 1, 0, 0]),
    "more than fit": _packed([READING, NOW_MS, 2**64 - 1, 0, 0]),
    "no number": _packed([READING, NOW_MS, 3, 0, 0, math.nan, 0.0]),
    "without end": _packed([READING, NOW_MS, 3, 0, 0, 0.0, math.inf]),
    "money back": _packed([READING, NOW_MS, 3, 0, 0, -1e9, 0.0]),
    "another end": _packed([READING, NOW_MS, 3, -7, -7]),
    "no such end": _packed([READING, NOW_MS, 3, 0, 9]),
    "half a reading": _packed([READING[:-1], NOW_MS, 3, 0, 0]),
    "before time": _packed([READING, -(2**63), 3, 0, 0]),
    "nested": b"\x98" + _packed(READING) + b"\x00" * 6 + b"\x91" * 100_000 + b"\x00",
    "too many readings": _packed([READING * 5_000, NOW_MS, 3, 0, 0]),
    "cut": _packed([READING, NOW_MS, 3, 0, 0])[:-2],
    "empty": b"",
    "text": b"hello",
}


@on_uvloop
async def test_a_turn_that_is_damaged_is_one_that_is_not_known(tmp_path: Path) -> None:
    made = billers()
    async with routed(tmp_path, wires(made)) as router:
        for name, data in DAMAGED.items():
            talk = Talk(router, rules=f"{RULES} Be {name}.")
            await talk.turn(arm="openai")
            await settled(router)
            (key,) = await router.storage.client.call("KEYS", "ar:turn:*")
            await router.storage.client.call("SET", key, data)
            second = await talk.turn(arm="openai")
            third = await talk.turn(arm="openai")
            told = await facts(router, second)
            assert (name, second.turn.number, second.turn.warm_tokens) == (name, 2, 0)
            assert (name, told.warm) == (name, ())
            assert (name, second.turn.spent_usd) == (name, pytest.approx(second.cost_usd))
            assert (name, third.turn.number) == (name, 3)
            assert (name, third.turn.warm_tokens) == (name, input_of(second))
            await router.storage.client.call(
                "DEL", *await router.storage.client.call("KEYS", "ar:turn:*")
            )
        used = await usage_usd(router)
    assert used == pytest.approx(billed(made))


@on_uvloop
async def test_what_was_read_in_the_future_is_cold(tmp_path: Path) -> None:
    """The clock was set back by an hour: nobody knows how old it is."""
    made = billers()
    async with routed(tmp_path, wires(made)) as router:
        talk = Talk(router)
        talk.ask()
        question = ChatRequest(
            tuple(
                Message(Role(role), (TextPart(m.text),))
                for role, m in zip(("system", "user"), talk.messages, strict=True)
            )
        )
        later = (("openai0", Seen(2_000, NOW_MS + 3_600 * MS_PER_S)),)
        known = Conversation(later, 4, "openai0", "openai0")
        tenant = await router.storage.tenants.show("test")
        await router.storage.conversations.keep(turn_keys(tenant.scope, question).own, known, 60)
        talk.hear("Because.")
        receipt = await talk.turn(arm="openai")
    assert (receipt.turn.number, receipt.turn.warm_tokens) == (5, 0)


COUNTED = {
    "choices": [{"message": {"content": "Moss."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 6_000, "completion_tokens": 2},
}
FIXED = "policy: {name: fixed, fixed: gemini}\ncache: {enabled: false}"


def called(number: int) -> chat_pb2.Message:
    call = chat_pb2.ToolCall(id=f"call{number}", name="look", arguments="{}")
    return chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, tool_calls=[call])


def result(number: int) -> chat_pb2.Message:
    return chat_pb2.Message(role=chat_pb2.ROLE_TOOL, text="Seen.", tool_call_id=f"call{number}")


@on_uvloop
async def test_an_answer_that_is_kept_in_many_messages_is_one_turn(tmp_path: Path) -> None:
    """Some callers keep each text and each call of an answer in a message of its own."""
    made = billers()
    async with routed(tmp_path, wires(made), sections=FIXED) as router:
        talk = Talk(router)
        first = await talk.turn(arm="openai")
        talk.messages += [*map(called, range(6)), *map(result, range(6))]
        second = await talk.again()
    assert (second.arm, second.locked) == ("openai", True)
    assert (second.turn.number, second.turn.warm_tokens) == (2, input_of(first))


@on_uvloop
async def test_an_unknown_answer_of_many_messages_is_one_turn(tmp_path: Path) -> None:
    made = billers()
    async with routed(tmp_path, wires(made)) as router:
        talk = Talk(router)
        talk.messages += [said("user", "Well?"), *(said("assistant", f"{n}.") for n in range(9))]
        receipt = await talk.turn(arm="openai")
    assert receipt.turn.number == 2


@on_uvloop
async def test_who_answered_before_did_not_ask_for_these_tools(tmp_path: Path) -> None:
    """A later question was answered by somebody who is not known: there is nobody to lock."""
    made = billers()
    async with routed(tmp_path, wires(made), sections=FIXED) as router:
        talk = Talk(router)
        first = await talk.turn(arm="openai")
        talk.messages += [said("user", "And over there?"), called(1), result(1)]
        second = await talk.again()
        # Nor is it known who asked where the loop was begun here; the policy chose then.
        talk.messages += [called(2), result(2)]
        third = await talk.again()
    assert (second.arm, second.locked) == ("gemini", False)
    assert second.turn.spent_usd == pytest.approx(first.cost_usd + second.cost_usd)
    assert (third.arm, third.locked) == ("gemini", True)


@on_uvloop
async def test_a_step_that_was_not_kept_leaves_its_loop_locked(tmp_path: Path) -> None:
    """A step of the same loop was answered while the store was away: who asked first goes on."""
    made = billers()
    async with routed(tmp_path, wires(made), sections=FIXED) as router:
        talk = Talk(router)
        await talk.turn(arm="openai")
        talk.messages += [called(1), result(1), called(2), result(2), called(3), result(3)]
        receipt = await talk.again()
    assert (receipt.arm, receipt.locked) == ("openai", True)


@on_uvloop
async def test_pictures_are_no_measure_of_text(tmp_path: Path) -> None:
    """Their tokens have a price of their own, and would make every text dearer."""
    url = chat_pb2.ImageUrl(url="https://example.com/a.png")
    picture = chat_pb2.Part(image_url=url)
    many = Wire(lambda _: whole(COUNTED), options=", images: true")
    async with routed(tmp_path, {"openai": [many]}, learns=True) as router:
        for number in range(8):
            text = f"What is this? {number} " + "word " * 2_000
            content = [chat_pb2.Part(text=text), picture, picture]
            message = chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=content)
            request = router_pb2.CompleteRequest(chat=chat_pb2.ChatRequest(messages=[message]))
            await router.stub.Complete(request, metadata=router.metadata)
        await learned(router, (f"Tell me of moss, {n}." for n in range(1_000)))
        stored = await router.storage.snapshots.load()
    assert stored is not None
    rates = RequestRates(split(stored.payload).rates)
    assert tokens_per_byte(rates, "openai0") == pytest.approx(TOKENS_PER_BYTE, rel=0.01)
