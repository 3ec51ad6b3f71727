"""What came is read, and not what was asked for or what its headers say."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from router.adapters.providers import make_client, make_providers
from router.domain import errors
from router.domain.catalog import Deployment, Price
from router.domain.chat import Answer, Delta, FinishReason, Sampling, TextDelta, ToolCall
from router.ports.upstream import Provider
from router.serving.attempts import CHARGED
from tests.contract.dialects import CALL, Dialect
from tests.contract.parties import ASK
from tests.e2e.ledger import upstream
from tests.e2e.wire import JSON_TYPE, SSE, Reply, Wire, on_uvloop, raw, whole

Making = Callable[[Dialect], Reply]
TEXTS = ["Forty", "-two."]


def body_of(spoken: Dialect) -> bytes:
    return json.dumps(spoken.whole("Forty-two.", CALL, spoken.finishes["call"])).encode()


def events_of(spoken: Dialect) -> bytes:
    pieces = spoken.pieces(TEXTS, CALL, spoken.finishes["call"])
    data = b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces)
    return data + spoken.end_mark


def array_of(spoken: Dialect) -> bytes:
    return json.dumps(spoken.pieces(TEXTS, CALL, spoken.finishes["call"]), indent=1).encode()


def packed(coding: str, pack: Callable[[bytes], bytes], data: bytes) -> Reply:
    return Reply((pack(data),), headers=(("content-encoding", coding),))


CAME: dict[str, Making] = {
    "JSON": lambda s: whole(body_of(s)),
    "JSON said to be events": lambda s: whole(body_of(s), kind=SSE),
    "JSON said to be text": lambda s: whole(body_of(s), kind="text/plain"),
    "JSON said to be a page": lambda s: whole(body_of(s), kind="text/html; charset=utf-8"),
    "JSON after blanks": lambda s: Reply((b"\n\n", 0.01, b"  \r\n", body_of(s))),
    "JSON after a mark": lambda s: Reply((b"\xef", b"\xbb\xbf", body_of(s))),
    "JSON in two pieces": lambda s: Reply((body_of(s)[:1], 0.01, body_of(s)[1:])),
    "JSON with status 201": lambda s: whole(body_of(s), 201),
    "JSON with status 202": lambda s: whole(body_of(s), 202),
    "JSON with status 203": lambda s: whole(body_of(s), 203),
    "JSON with status 206": lambda s: whole(body_of(s), 206),
    "JSON in gzip": lambda s: packed("gzip", gzip.compress, body_of(s)),
    "JSON in deflate": lambda s: packed("deflate", zlib.compress, body_of(s)),
    "events": lambda s: raw(events_of(s)),
    "events said to be JSON": lambda s: raw(events_of(s), kind=JSON_TYPE),
    "events said to be bytes": lambda s: raw(events_of(s), kind="application/octet-stream"),
    "events after a comment": lambda s: raw(b": waiting\n\n", 0.01, events_of(s), kind=JSON_TYPE),
    "events after blanks": lambda s: raw(b"\n\n", events_of(s)),
    "events after a mark": lambda s: raw(b"\xef\xbb\xbf" + events_of(s)),
    "events in gzip": lambda s: packed("gzip", gzip.compress, events_of(s)),
    "an array": lambda s: whole(array_of(s)),
    "an array said to be events": lambda s: whole(array_of(s), kind=SSE),
    "an array in pieces": lambda s: Reply((b"[", 0.01, array_of(s)[1:])),
}


@asynccontextmanager
async def answering(spoken: Dialect, reply: Reply) -> AsyncIterator[tuple[Provider, Deployment]]:
    async with upstream(Wire(lambda _: reply, spoken.name)) as wire, make_client() as client:
        provider = make_providers(client, {"here": "k"})[spoken.name]
        yield provider, Deployment("here", spoken.name, wire.base_url, "m", Price(1, 1))


@pytest.mark.parametrize("came", CAME)
@on_uvloop
async def test_an_answer_is_read_as_it_came(dialect: Dialect, came: str) -> None:
    reply = CAME[came](dialect)
    async with answering(dialect, reply) as (provider, here):
        answer = await provider.complete(here, ASK, 20_000)
        items = [item async for item in provider.stream(here, ASK, 20_000)]
    for found in (answer, items[-1]):
        assert isinstance(found, Answer)
        assert found.text == "Forty-two."
        assert found.finish_reason is FinishReason.TOOL_CALLS
        assert [(c.name, json.loads(c.arguments)) for c in found.tool_calls] == [("add", {"a": 1})]
        assert (found.usage.input_tokens, found.usage.output_tokens) == (11, 7)
    assert said_by(items) == "Forty-two."
    assert isinstance(answer.tool_calls[0], ToolCall)


def said_by(items: list[Delta | Answer]) -> str:
    return "".join(item.text for item in items if isinstance(item, TextDelta))


@pytest.mark.parametrize(
    "reply",
    [
        whole("<!doctype html><p>Sign in"),
        whole("\n <html>", kind="text/html"),
        raw(b"<html>"),
        whole("", 302, headers=(("location", "/login"),)),
    ],
    ids=range(4),
)
@on_uvloop
async def test_a_page_is_the_operators_fault_and_free(dialect: Dialect, reply: Reply) -> None:
    async with answering(dialect, reply) as (provider, here):
        for live in (False, True):
            with pytest.raises(errors.ProviderNotFound) as caught:
                await asked(provider, here, live=live)
            assert not isinstance(caught.value, CHARGED)
            assert caught.value.retry_after_ms


@pytest.mark.parametrize(
    "reply",
    [whole(""), whole("", 204), raw(b""), raw(b"\n\n"), whole("OK"), whole("null"), whole("[]")],
    ids=range(7),
)
@on_uvloop
async def test_nothing_is_no_answer(dialect: Dialect, reply: Reply) -> None:
    async with answering(dialect, reply) as (provider, here):
        for live in (False, True):
            with pytest.raises(errors.ProviderMalformed):
                await asked(provider, here, live=live)


REFUSAL = b'{"error": {"type": "overloaded_error", "code": "server_is_overloaded"}}'


@pytest.mark.parametrize(
    "reply",
    [
        Reply((REFUSAL,), 503),
        Reply((REFUSAL,), 503, kind="text/html"),
        Reply((b"\xef\xbb\xbf\n" + REFUSAL,), 503),
        Reply((b"event: error\ndata: " + REFUSAL + b"\n\n",), 503, kind=SSE),
        Reply((b"[" + REFUSAL + b"]",), 503),
        Reply((json.dumps(REFUSAL.decode()).encode(),), 503),
        Reply((gzip.compress(REFUSAL),), 503, headers=(("content-encoding", "gzip"),)),
        Reply((REFUSAL[:20], 0.05, REFUSAL[20:]), 503),
        Reply((REFUSAL,), 503, length=False, keeps=False),
    ],
    ids=range(9),
)
@on_uvloop
async def test_the_body_of_a_refusal_is_read_as_it_came(dialect: Dialect, reply: Reply) -> None:
    async with answering(dialect, reply) as (provider, here):
        for live in (False, True):
            with pytest.raises(errors.ProviderUnavailable) as caught:
                await asked(provider, here, live=live)
            assert caught.value.code == "server_is_overloaded"
            assert caught.value.status == 503


@pytest.mark.parametrize(
    "reply",
    [
        Reply((b'{"error": "', b"x" * 1_000_000, b'"}'), 400),
        Reply((b'{"error": ', 30.0), 400, length=False, keeps=False),
        Reply((b'{"error": ',), 400, length=False, aborts=True),
        Reply((b"[" * 60_000,), 400),
        Reply((b"\x1f\x8b\x00",), 400, headers=(("content-encoding", "gzip"),)),
        Reply((gzip.compress(b"x" * 9_000_000),), 400, headers=(("content-encoding", "gzip"),)),
        Reply((b"x",), 400, headers=(("content-encoding", "br"),)),
    ],
    ids=range(7),
)
@on_uvloop
async def test_a_refusal_without_end_or_sense_is_told_by_its_status(
    dialect: Dialect, reply: Reply
) -> None:
    async with answering(dialect, reply) as (provider, here):
        for live in (False, True):
            with pytest.raises(errors.ProviderRefusedRequest):
                await asked(provider, here, live=live)


@on_uvloop
async def test_a_refusal_whose_body_outlasts_the_limit_is_told_by_its_status(
    dialect: Dialect,
) -> None:
    """It was refused, and so is free, whoever leaves first."""
    reply = Reply((b'{"error": ', 30.0), 402, length=False, keeps=False)
    wire = Wire(lambda _: reply, dialect.name)
    async with upstream(wire), make_client() as client:
        provider = make_providers(client, {"here": "k"})[dialect.name]
        here = Deployment("here", dialect.name, wire.base_url, "m", Price(1, 1))
        with pytest.raises(errors.ProviderOutOfCredit):
            await provider.complete(here, ASK, 500)
        leaving = asyncio.ensure_future(provider.complete(here, ASK, 20_000))
        while len(wire.asked) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # its head has come, and its body is waited for
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError) as left:
            await leaving
        assert isinstance(left.value.__cause__, errors.ProviderOutOfCredit)


@on_uvloop
async def test_a_call_sent_again_without_a_field_may_time_out_like_any_other(
    dialect: Dialect,
) -> None:
    refused = {"error": {"message": "Unsupported parameter: 'temperature'"}}
    replies = iter((whole(refused, 400), Reply((30.0,), silent=True)))
    async with (
        upstream(Wire(lambda _: next(replies), dialect.name)) as wire,
        make_client() as client,
    ):
        provider = make_providers(client, {"here": "k"})[dialect.name]
        here = Deployment("here", dialect.name, wire.base_url, "m", Price(1, 1))
        with pytest.raises(errors.ProviderTimeout):
            await provider.complete(here, replace(ASK, sampling=Sampling(temperature=0.5)), 500)
    assert len(wire.asked) == 2


@on_uvloop
async def test_a_refusal_that_holds_the_key_does_not_name_it(dialect: Dialect) -> None:
    body = {"error": {"code": "sk-k-123", "param": "sk-k-123", "message": "no"}}
    async with (
        upstream(Wire(lambda _: whole(body, 401), dialect.name)) as wire,
        make_client() as http,
    ):
        provider = make_providers(http, {"here": "sk-k-123"})[dialect.name]
        here = Deployment("here", dialect.name, wire.base_url, "m", Price(1, 1))
        with pytest.raises(errors.ProviderUnauthorized) as caught:
            await asked(provider, here, live=False)
    assert (caught.value.code, caught.value.parameter) == ("", "")


async def asked(provider: Provider, here: Deployment, *, live: bool) -> Answer:
    if not live:
        return await provider.complete(here, ASK, 20_000)
    *_, answer = [item async for item in provider.stream(here, ASK, 20_000)]
    assert isinstance(answer, Answer)
    return answer
