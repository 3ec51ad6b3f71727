"""Receipts and quota against the bills of providers that cache prompts and charge for thinking."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from adaptive_router.v1 import chat_pb2, router_pb2

from router.domain.records import Attempt
from router.domain.tenants import Tenant
from tests.e2e.conftest import Router, until
from tests.e2e.prompt_caches import AnthropicBiller, Biller, GeminiBiller, OpenAIBiller, Rates
from tests.e2e.wire import Asked, Reply, on_uvloop, routed, whole

TOLERANCE = 0.001
CONVERSATIONS, TURNS, LEFT = 4, 5, 3
TOOL = chat_pb2.Tool(name="look", description="Looks. " * 20, parameters='{"type": "object"}')
BILLERS: dict[str, Any] = {
    "openai": lambda: OpenAIBiller(_unused, rates=Rates(cached=0.5, thought=12.0)),
    "anthropic": lambda: AnthropicBiller(
        _unused,
        rates=Rates(written=1.25),
        options=", prompt_caching: automatic, parameters: {thinking: {type: enabled,"
        " budget_tokens: 1024}}",
    ),
    "gemini": lambda: GeminiBiller(_unused, rates=Rates(cached=0.25, thought=14.0)),
}


def _unused(_: Any) -> Any:
    raise AssertionError


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def said(role: str, text: str, **more: Any) -> chat_pb2.Message:
    return chat_pb2.Message(role=f"ROLE_{role.upper()}", text=text, **more)


def asking(messages: list[chat_pb2.Message], **more: Any) -> router_pb2.CompleteRequest:
    return router_pb2.CompleteRequest(chat=chat_pb2.ChatRequest(messages=messages, **more))


async def answered(router: Router, request: router_pb2.CompleteRequest, *, live: bool) -> Any:
    """Returns the text, the message that holds the counts, and the receipt."""
    if not live:
        whole = await router.stub.Complete(request, metadata=router.metadata)
        return whole.answer.text, whole.answer, whole.receipt
    streamed = router_pb2.StreamCompleteRequest(chat=request.chat)
    text = ""
    async for item in router.stub.StreamComplete(streamed, metadata=router.metadata):
        text += item.text_delta
        done = item.done
    return text, done, done.receipt


async def converse(router: Router, number: int) -> None:
    """Whole and streamed in turn; every second conversation has tools."""
    messages = [said("system", f"Rules of house {number}: " + "be kind, be exact; " * 300)]
    tools = [TOOL] if number % 2 else []
    for turn in range(TURNS):
        messages.append(said("user", f"Question {number}.{turn}: " + f"why {turn}? " * 60))
        request = asking(messages, tools=tools)
        text, told, receipt = await answered(router, request, live=bool((number + turn) % 2))
        (attempt,) = receipt.attempts
        assert told.cached_input_tokens == attempt.cached_input_tokens
        assert told.cache_write_tokens == attempt.cache_write_tokens
        assert told.reasoning_tokens == attempt.reasoning_tokens
        assert not attempt.usage_guessed
        messages.append(said("assistant", text, opaque=told.opaque))


async def leave(router: Router, number: int) -> None:
    """Leave a stream after a few of its words."""
    chat = chat_pb2.ChatRequest(messages=[said("user", f"Tell me something of {number}.")])
    streamed = router_pb2.StreamCompleteRequest(chat=chat)
    call = router.stub.StreamComplete(streamed, metadata=router.metadata)
    for _ in range(5):
        await call.read()
    call.cancel()


async def attempts_of(router: Router, expected: int) -> list[Attempt]:
    """Returns every attempt on record, once all are there and nothing is held any more."""
    found: list[Attempt] = []

    async def is_settled() -> bool:
        found[:] = [a async for r in router.storage.kept.each(10_000) for a in r.attempts]
        usage = await router.storage.quota.usage(Tenant("test"))
        return len(found) >= expected and not usage.reservations

    await until(is_settled)
    return found


@pytest.mark.parametrize("name", BILLERS)
@on_uvloop
async def test_receipts_come_to_the_bill(name: str, tmp_path: Path) -> None:
    biller: Biller = BILLERS[name]()
    async with routed(tmp_path, {"only": [biller]}) as router:
        await asyncio.gather(*(converse(router, n) for n in range(CONVERSATIONS)))
        await asyncio.gather(*(leave(router, n) for n in range(LEFT)))
        attempts = await attempts_of(router, CONVERSATIONS * TURNS + LEFT)
        used = await router.storage.quota.usage(Tenant("test"))
    assert len(attempts) == len(biller.bill)
    receipts_usd = sum(a.cost_usd for a in attempts)
    assert receipts_usd == pytest.approx(biller.usd, rel=TOLERANCE)
    assert used.daily_usd == pytest.approx(receipts_usd, rel=1e-6)
    counted = [a for a in attempts if not a.guessed]
    assert sum(a.guessed for a in attempts) == LEFT
    bill = [c for c in biller.bill if c.said == biller.words]
    cached, written = sum(c.cached for c in bill), sum(c.written for c in bill)
    assert sum(a.cached_tokens for a in counted) == cached > sum(c.input for c in bill) / 2
    assert sum(a.written_tokens for a in counted) == written
    read_usd = sum(c.usd(replace(biller.rates, said=0.0, thought=0.0)) for c in bill)
    assert sum(a.input_usd for a in counted) == pytest.approx(read_usd)
    if name != "anthropic":  # which counts no thinking apart
        assert sum(a.reasoning_tokens for a in counted) == sum(c.thought for c in bill) > 0


@pytest.mark.parametrize("name", ["anthropic", "gemini"])
@on_uvloop
async def test_a_stream_that_is_left_is_charged_the_input_it_counted(
    name: str, tmp_path: Path
) -> None:
    """Its count of the input stands at its beginning, cached tokens and all."""
    biller: Biller = BILLERS[name]()
    async with routed(tmp_path, {"only": [biller]}) as router:
        await converse(router, 0)
        biller.bill.clear()
        messages = [said("system", "Rules of house 0: " + "be kind, be exact; " * 300)]
        messages.append(said("user", "Question 0.0: " + "why 0? " * 60))
        streamed = router_pb2.StreamCompleteRequest(chat=asking(messages).chat)
        call = router.stub.StreamComplete(streamed, metadata=router.metadata)
        for _ in range(5):
            await call.read()
        call.cancel()
        attempts = await attempts_of(router, TURNS + 1)
    (left,) = [a for a in attempts if a.guessed]
    (charge,) = biller.bill
    assert charge.cached > 1_000
    assert (left.input_tokens, left.cached_tokens) == (charge.input, charge.cached)
    assert left.written_tokens == charge.written


REFUSALS = {
    "tools.0.cache_control: Extra inputs are not permitted": 0,
    "system.0.cache_control: Extra inputs are not permitted": 0,
    "messages.0.content.0.cache_control: Extra inputs are not permitted": 0,
    "messages.0.content.0.cache_control.ephemeral.ttl: Extra inputs are not permitted": 2,
}


@pytest.mark.parametrize("live", [False, True])
@on_uvloop
async def test_a_server_that_takes_no_marks_is_sent_none_from_then_on(
    live: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
) -> None:
    request = asking([said("system", "Be kind."), said("user", "Why?")])
    for number, (message, left) in enumerate(REFUSALS.items()):
        biller = RefusingBiller(
            _unused, options=", prompt_caching: automatic, cache_ttl_s: 3600", message=message
        )
        async with routed(tmp_path / str(number), {"only": [biller]}) as router:
            for _ in range(2):
                _, _, receipt = await answered(router, request, live=live)
                (attempt,) = receipt.attempts
                assert attempt.why == "passed"
        marks = [json.dumps(asked.body).count('"cache_control"') for asked in biller.asked]
        assert (message, marks) == (message, [2, left, left])
        assert ['"ttl"' in json.dumps(asked.body) for asked in biller.asked] == [True, False, False]


@dataclass
class RefusingBiller(AnthropicBiller):
    """Refuses marks, or their lifetime alone where it says so."""

    message: str = ""

    def answer(self, asked: Asked) -> Reply:
        body = json.dumps(asked.body)
        if ('"ttl"' if "ttl" in self.message else '"cache_control"') in body:
            error = {"type": "invalid_request_error", "message": self.message}
            return whole({"type": "error", "error": error}, 400)
        return super().answer(asked)
