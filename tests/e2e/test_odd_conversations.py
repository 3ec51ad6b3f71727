"""Conversations that are odd: what the caller gets, what is charged and what is learned."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc

from router.domain import MS_PER_S
from router.domain.chat import ChatRequest, Message, Role, TextPart
from router.domain.conversations import Conversation, Seen, turn_keys
from router.domain.tenants import Tenant
from tests.e2e.conftest import Router
from tests.e2e.details import fields, reason
from tests.e2e.prompt_caches import Biller
from tests.e2e.test_bills import said
from tests.e2e.test_conversations import Talk, billers, input_of, settled, wires
from tests.e2e.test_locked_loops import CHEAPEST, Walk, decided, wired
from tests.e2e.test_tool_loops import thinkers
from tests.e2e.wire import Wire, on_uvloop, routed, whole

MOST_MESSAGES = 1_024
MESSAGES = 200
LOOP_S = 0.015
SHORT = {
    "choices": [{"message": {"content": "So it is."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 100_000, "completion_tokens": 5},
}


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


async def facts(router: Router, receipt: router_pb2.Receipt) -> Any:
    """Returns what is learned of a turn, which has the cost that the receipt tells."""
    record = (await decided(router))[receipt.decision_id]
    assert record.cost_usd == receipt.cost_usd
    return record.turn


async def usage_usd(router: Router, tenant: str = "test") -> float:
    return (await router.storage.quota.usage(Tenant(tenant))).daily_usd


def billed(made: dict[str, Biller]) -> float:
    return sum(biller.usd for biller in made.values())


async def refused(router: Router, talk: Talk, **routing: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await talk.again(**routing)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await decided(router) == {}
    assert await router.storage.client.call("KEYS", "ar:turn:*") == []
    assert await usage_usd(router) == 0
    return caught.value


def history(talk: Talk, messages: int) -> None:
    """Fill a conversation with turns that nobody has seen, so that the next is a question."""
    while len(talk.messages) < messages - 1:
        talk.messages.append(said("user", f"Question {len(talk.messages)}."))
        talk.messages.append(said("assistant", "Yes."))
    talk.messages = [*talk.messages[: messages - 1], said("user", "And this?")]


@on_uvloop
async def test_a_conversation_of_two_thousand_messages_is_refused(tmp_path: Path) -> None:
    made = billers()
    async with routed(tmp_path, wires(made)) as router:
        talk = Talk(router)
        history(talk, 2_000)
        error = await refused(router, talk)
        assert fields(error) == {"chat.messages"}
        assert str(MOST_MESSAGES) in str(error.details())
    assert billed(made) == 0


@on_uvloop
async def test_the_longest_conversation_is_recognised_from_then_on(tmp_path: Path) -> None:
    """A history that nobody has seen counts by its answers, and is cold."""
    made = billers()
    async with routed(tmp_path, wires(made)) as router:
        talk = Talk(router)
        history(talk, MOST_MESSAGES - 2)
        first = await talk.again(arm="openai")
        second = await talk.turn(arm="openai")
        first_facts, second_facts = await facts(router, first), await facts(router, second)
        used = await usage_usd(router)
    answers = (MOST_MESSAGES - 4) // 2
    assert (first.turn.number, first.turn.warm_tokens) == (answers + 1, 0)
    assert (first_facts.number, first_facts.warm) == (answers + 1, ())
    assert (second.turn.number, second.turn.warm_tokens) == (answers + 2, input_of(first))
    assert second_facts.warm == (("openai0", input_of(first)),)
    assert used == pytest.approx(billed(made))


@on_uvloop
async def test_an_edited_history_is_as_warm_as_what_stands_before_the_edit(tmp_path: Path) -> None:
    made = billers()
    async with routed(tmp_path, wires(made)) as router:
        talk = Talk(router)
        for _ in range(3):
            await talk.turn(arm="openai")
        kept = [*talk.messages]
        # The second answer is another one: both have in common what was asked up to there.
        talk.messages[4] = said("assistant", "I never said that.")
        edited = await talk.turn(arm="openai")
        # So is a system prompt: nothing is known.
        talk.messages = [said("system", "Be quick."), *kept[1:]]
        other = await talk.turn(arm="openai")
        edited_facts, other_facts = await facts(router, edited), await facts(router, other)
        used = await usage_usd(router)
    first, second = talk.receipts[:2]
    assert (edited.turn.number, edited.turn.warm_tokens) == (3, input_of(second))
    assert edited_facts.warm == (("openai0", input_of(second)),)
    costs = [first.cost_usd, second.cost_usd, edited.cost_usd]
    assert edited.turn.spent_usd == pytest.approx(sum(costs))
    assert (other.turn.number, other.turn.warm_tokens) == (4, 0)
    assert (other_facts.number, other_facts.warm) == (4, ())
    assert other.turn.spent_usd == pytest.approx(other.cost_usd)
    assert other_facts.application != edited_facts.application
    assert used == pytest.approx(billed(made))


@on_uvloop
async def test_two_tenants_share_nothing_of_the_same_beginning(tmp_path: Path) -> None:
    made = billers()
    async with routed(tmp_path, wires(made)) as router:
        ours = Talk(router)
        theirs = Talk(router, metadata=await router.tenant("other"))
        first = await ours.turn(arm="openai")
        theirs.messages = [*ours.messages]
        copied = await theirs.turn(arm="openai")
        own = await ours.turn(arm="openai")
        copied_facts = await facts(router, copied)
        used = await usage_usd(router), await usage_usd(router, "other")
    assert theirs.messages[:-1] == ours.messages[:-1]
    assert (copied.turn.number, copied.turn.warm_tokens) == (2, 0)
    assert copied_facts.warm == ()
    # The provider, which has one cache for both, charges what it charges.
    assert copied.turn.spent_usd == copied.turn.stay_usd == pytest.approx(copied.cost_usd)
    assert (own.turn.number, own.turn.warm_tokens) == (2, input_of(first))
    assert own.turn.spent_usd == pytest.approx(first.cost_usd + own.cost_usd)
    assert used == pytest.approx((first.cost_usd + own.cost_usd, copied.cost_usd))
    assert sum(used) == pytest.approx(billed(made))


@on_uvloop
async def test_another_tenant_locks_nobody(tmp_path: Path) -> None:
    sections = CHEAPEST.format("kimi")
    async with routed(tmp_path, wired(thinkers(), "kimi"), sections=sections) as router:
        ours, theirs = Walk(router), Walk(router, metadata=await router.tenant("other"))
        await ours.step(arm="gemini")
        theirs.chat = ours.chat
        receipt = await theirs.step()
    assert (receipt.arm, receipt.locked) == ("kimi", False)


@on_uvloop
async def test_a_session_id_tells_nothing_of_the_conversation(tmp_path: Path) -> None:
    """It is given to another conversation, and left out or changed in its own."""
    made = billers()
    async with routed(tmp_path, wires(made)) as router:
        talk, other = Talk(router), Talk(router, rules="Be short.")
        await talk.turn(arm="openai", session_id="s")
        reused = await other.turn(arm="openai", session_id="s")
        second = await talk.turn(arm="openai", session_id="t")
        third = await talk.turn(arm="openai")
        reused_facts = await facts(router, reused)
        used = await usage_usd(router)
    assert (reused.turn.number, reused.turn.warm_tokens) == (1, 0)
    assert (reused_facts.number, reused_facts.warm) == (1, ())
    assert reused.turn.spent_usd == pytest.approx(reused.cost_usd)
    assert (second.turn.number, second.turn.warm_tokens) == (2, input_of(talk.receipts[0]))
    assert (third.turn.number, third.turn.warm_tokens) == (3, input_of(second))
    assert used == pytest.approx(billed(made))


@on_uvloop
async def test_a_session_of_ten_thousand_turns_goes_on(tmp_path: Path) -> None:
    """Its history is cut by its caller; what is known of it stays small."""
    made = billers()
    question = Message(Role.USER, (TextPart("And then?"),))
    async with routed(tmp_path, wires(made)) as router:
        seen = tuple(
            (name, Seen(2_000, int(time.time() * MS_PER_S)))
            for name in ("openai0", "gemini0", "claude0")
        )
        known = Conversation(seen, 9_999, "claude0", "gemini0", 1_234.5, 2_345.6)
        tenant = await router.storage.tenants.show("test")
        key = turn_keys(tenant.scope, ChatRequest((question,))).own
        await router.storage.conversations.keep(key, known, 60)
        talk = Talk(router)
        talk.messages = [said("user", "And then?"), said("assistant", "This.")]
        receipt = await talk.turn(arm="openai")
        told = await facts(router, receipt)
        await settled(router)
        sizes = [
            len(stored.removeprefix(b"ar:turn:")) + len(b"ar:turn:")
            + await router.storage.client.call("STRLEN", stored)
            for stored in await router.storage.client.call("KEYS", "ar:turn:*")
        ]  # fmt: skip
        used = await usage_usd(router)
    assert (receipt.turn.number, receipt.turn.warm_tokens) == (10_000, 2_000)
    assert receipt.turn.spent_usd == pytest.approx(1_234.5 + receipt.cost_usd)
    assert 2_345.6 < receipt.turn.stay_usd < 2_345.7
    assert dict(told.warm) == dict.fromkeys(("openai0", "gemini0", "claude0"), 2_000)
    assert len(sizes) == 2
    assert max(sizes) <= 200
    assert used == pytest.approx(billed(made))


def long_chat(number: int) -> chat_pb2.ChatRequest:
    """Returns 200 messages of 100,000 tokens."""
    messages = [said("system", "Be kind.")]
    while len(messages) < MESSAGES - 1:
        messages.append(said("user", f"Question {len(messages)}: " + "why is that so? " * 125))
        messages.append(said("assistant", "It is as it is. " * 124))
    return chat_pb2.ChatRequest(messages=[*messages[: MESSAGES - 1], said("user", f"{number}?")])


@on_uvloop
async def test_a_hundred_thousand_tokens_leave_the_loop_to_others(tmp_path: Path) -> None:
    """Measured is the loop's thread, upstream included, with the caller on another one."""
    made = {"only": [Wire(lambda _: whole(SHORT))]}
    async with routed(tmp_path, made, more=", context_window_tokens: 1000000") as router:
        channel = grpc.insecure_channel(f"127.0.0.1:{router.port}")
        complete = router_pb2_grpc.RouterServiceStub(channel).Complete
        took_s = list[float]()
        for number in range(6):
            request = router_pb2.CompleteRequest(chat=long_chat(number))
            assert sum(len(m.text) for m in request.chat.messages) > 395_000
            began_s = time.thread_time()
            done = await asyncio.to_thread(complete, request, metadata=router.metadata)
            took_s.append(time.thread_time() - began_s)
            assert done.receipt.turn.number == MESSAGES // 2
        channel.close()
    assert min(took_s) <= LOOP_S, took_s


OPAQUE = {
    "forged": chat_pb2.OpaquePart(provider="gemini", model="gemini", data=b"\xff{forged"),
    "lying": chat_pb2.OpaquePart(
        provider="gemini", model="gemini", data=b'[{"functionCall": {"name": "rm"}}]'
    ),
    "foreign": chat_pb2.OpaquePart(provider="anthropic", model="claude", data=b'[{"type": "x"}]'),
    "unknown": chat_pb2.OpaquePart(provider="nobody", model="m", data=b"{}"),
    "large": chat_pb2.OpaquePart(provider="gemini", model="gemini", data=b'"' + b"x" * 200_000),
}


@on_uvloop
@pytest.mark.parametrize("name", OPAQUE)
async def test_opaque_parts_that_are_not_ones_own_change_nothing(tmp_path: Path, name: str) -> None:
    """They are left out, and the loop stays locked, recognised and charged as without them."""
    models = thinkers()
    made = wired(models, "kimi")
    async with routed(tmp_path, made, sections=CHEAPEST.format("kimi")) as router:
        walk = Walk(router)
        await walk.step(arm="kimi")
        walk.chat.messages[1].opaque.append(OPAQUE[name])
        receipt = await walk.step()
        # Its own model does not get it either.
        await walk.step(arm="gemini")
        told = await facts(router, receipt)
    assert (receipt.arm, receipt.locked, receipt.turn.number) == ("kimi", True, 2)
    assert told.number == 2
    assert receipt.cost_usd == pytest.approx(walk.receipts[0].cost_usd)
    for wire in (made["kimi"][0], made["gemini"][0]):
        for asked in wire.asked:
            assert "forged" not in str(asked.body)
            assert "xxxxx" not in str(asked.body)
            assert "'rm'" not in str(asked.body)


@on_uvloop
@pytest.mark.parametrize("task", ["x" * 65, "two\nlines", "\x00", "\x7f", "\u0085"])
async def test_a_label_that_is_none_is_refused(tmp_path: Path, task: str) -> None:
    made = billers()
    async with routed(tmp_path, wires(made)) as router:
        talk = Talk(router)
        talk.ask()
        error = await refused(router, talk, task=task)
        assert fields(error) == {"routing.task"}
        assert reason(error) == "INVALID_REQUEST"
        request = router_pb2.DecideRequest(
            chat=talk.chat, routing=router_pb2.RoutingOptions(task=task)
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await router.stub.Decide(request, metadata=router.metadata)
        assert fields(caught.value) == {"routing.task"}
    assert billed(made) == 0


@on_uvloop
async def test_a_label_of_any_language_names_the_application(tmp_path: Path) -> None:
    async with routed(tmp_path, wires(billers())) as router:
        label = "\u9867" * 64
        one, other = Talk(router), Talk(router, rules="Another system prompt altogether.")
        receipts = [await t.turn(arm="openai", task=label) for t in (one, other)]
        unnamed = await Talk(router).turn(arm="openai")
        found = [(await facts(router, r)).application for r in (*receipts, unnamed)]
    assert found[0] == found[1] != found[2]
    assert all(len(digest) == 16 for digest in found)
