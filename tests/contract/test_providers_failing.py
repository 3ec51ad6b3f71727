"""How every provider fails: one tree of errors, and nothing of the key or the prompt in it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import socket
import traceback
import zlib
from dataclasses import replace
from email.utils import formatdate

import pytest

from demo.stack import free_port
from router.adapters.providers.http import MAX_BODY_BYTES
from router.domain import errors
from router.domain.chat import ChatRequest, Message, Role, TextPart, ToolCall
from router.serving.attempts import CHARGED
from tests.contract.dialects import Dialect
from tests.contract.parties import ASK, KEY, NOW_S, Party, opened

PROMPT = "six times seven"
PATIENT_MS = 60_000


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, errors.ProviderRefusedRequest),
        (401, errors.ProviderUnauthorized),
        (402, errors.ProviderOutOfCredit),
        (403, errors.ProviderUnauthorized),
        (404, errors.ProviderNotFound),
        (408, errors.ProviderTimeout),
        (413, errors.ProviderContextTooLong),
        (422, errors.ProviderRefusedRequest),
        (429, errors.ProviderRateLimited),
        (500, errors.ProviderUnavailable),
        (502, errors.ProviderUnavailable),
        (503, errors.ProviderUnavailable),
        (504, errors.ProviderTimeout),
        (529, errors.ProviderUnavailable),
        (204, errors.ProviderMalformed),
    ],
)
async def test_every_status_has_its_error(
    party: Party,
    status: int,
    error: type[errors.ProviderError],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    party.upstream.status = status
    party.upstream.body = b"" if status == 204 else f"the key {KEY} and {PROMPT}".encode()
    for call in (party.complete, party.stream):
        with pytest.raises(errors.ProviderError) as caught:
            await call()
        assert type(caught.value) is error
        shown = "".join(traceback.format_exception(caught.value)) + repr(party.provider)
        assert KEY not in shown + caplog.text
        assert PROMPT not in shown + caplog.text


async def test_a_redirect_is_not_followed(party: Party) -> None:
    party.upstream.status = 307
    party.upstream.headers = {"location": f"{party.upstream.base_url}/elsewhere"}
    for call in (party.complete, party.stream):
        with pytest.raises(errors.ProviderNotFound):
            await call()
    assert len(party.upstream.peers) == 2


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "expected_ms"),
    [
        ("7", 7_000),
        ("0.5", 500),
        (formatdate(NOW_S + 30, usegmt=True), 30_000),
        (formatdate(NOW_S - 30, usegmt=True), 0),
        ("99999999", 3_600_000),
    ],
)
async def test_a_pause_in_every_form(
    party: Party, status: int, said: str, expected_ms: int
) -> None:
    party.upstream.status = status
    party.upstream.headers = {"retry-after": said}
    with pytest.raises(errors.ProviderRateLimited) as caught:
        await party.complete()
    assert caught.value.retry_after_ms == expected_ms


@pytest.mark.parametrize("said", ["soon", "", "-1", "1e999"])
async def test_a_pause_that_says_nothing(party: Party, said: str) -> None:
    party.upstream.status = 429
    party.upstream.headers = {"retry-after": said}
    with pytest.raises(errors.ProviderRateLimited) as caught:
        await party.complete()
    assert caught.value.retry_after_ms in (None, 3_600_000)
    assert (caught.value.retry_after_ms is None) == (said != "1e999")


async def test_a_refused_request_asks_for_no_pause(party: Party) -> None:
    party.upstream.status = 400
    party.upstream.headers = {"retry-after": "7"}
    with pytest.raises(errors.ProviderRefusedRequest):
        await party.complete()


async def test_errors_give_their_connection_back(party: Party) -> None:
    party.upstream.status = 500
    for call in (party.complete, party.stream, party.complete):
        with pytest.raises(errors.ProviderUnavailable):
            await call()
    assert len(set(party.upstream.peers)) == 1


async def test_a_limit_on_time(party: Party) -> None:
    party.upstream.wait_s = 5
    for call in (party.complete, party.stream):
        with pytest.raises(errors.ProviderTimeout):
            await call(timeout_ms=100)


async def test_a_limit_shorter_than_the_deployments_own_is_told_as_such(party: Party) -> None:
    party.upstream.wait_s = 5
    for call in (party.complete, party.stream):
        for timeout_ms, hurried in ((99, True), (100, False)):
            party.deployment = replace(party.deployment, timeout_ms=100)
            with pytest.raises(errors.ProviderTimeout) as late:
                await call(timeout_ms=timeout_ms)
            assert late.value.hurried is hurried


@pytest.mark.parametrize("limit", ["first_byte_ms", "between_bytes_ms"])
async def test_a_limit_on_one_wait_of_a_stream_is_the_deployments_own(
    party: Party, limit: str
) -> None:
    """The first piece comes at once, the second too late."""
    party.upstream.wait_s = 1
    party.deployment = replace(party.deployment, **{limit: 100})
    items = party.provider.stream(party.deployment, ASK, 300)
    with pytest.raises(errors.ProviderTimeout) as late:
        [item async for item in items]
    assert late.value.hurried is (limit == "first_byte_ms")
    assert await party.complete(timeout_ms=PATIENT_MS)


async def test_a_first_byte_that_is_late_ends_a_stream(party: Party) -> None:
    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(keep_silent, "127.0.0.1", 0) as server:
        party.move("http://{}:{}".format(*server.sockets[0].getsockname()))
        party.deployment = replace(party.deployment, first_byte_ms=100)
        with pytest.raises(errors.ProviderTimeout) as late:
            await party.stream(timeout_ms=1_000)
        assert not late.value.hurried


@pytest.mark.parametrize("limit", ["first_byte_ms", "between_bytes_ms"])
async def test_comments_keep_no_stream_alive(party: Party, limit: str) -> None:
    """One piece came, where the second is waited for; then a comment every few milliseconds."""
    begun = b"event: message\n" if limit == "between_bytes_ms" else b""
    left = asyncio.Event()

    async def comment(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + begun)
        with contextlib.suppress(OSError):
            while not writer.is_closing():
                writer.write(b": keep-alive\n\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()
        left.set()

    async with await asyncio.start_server(comment, "127.0.0.1", 0) as server:
        party.move("http://{}:{}".format(*server.sockets[0].getsockname()))
        party.deployment = replace(party.deployment, **{limit: 300})
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(errors.ProviderTimeout) as late:
            await party.stream(timeout_ms=20_000)
        assert asyncio.get_running_loop().time() - began_s < 10
        assert not late.value.hurried
        await left.wait()


async def test_no_time_left(party: Party) -> None:
    for call in (party.complete, party.stream):
        with pytest.raises(errors.ConnectionsExhausted):
            await call(timeout_ms=0)
    assert party.upstream.peers == []


async def test_a_slow_reader_is_not_a_slow_provider(party: Party) -> None:
    party.upstream.texts, party.upstream.wait_s = ("one ", "two ", "three"), 0.02
    items = []
    async for item in party.provider.stream(party.deployment, ASK, 1_000):
        items.append(item)
        await asyncio.sleep(0.4)
    assert items[-1].text == "one two three"


async def test_a_slow_provider_is_not_excused_by_a_slow_reader(party: Party) -> None:
    party.upstream.texts, party.upstream.wait_s = ("one ",) * 9, 0.15
    items = party.provider.stream(party.deployment, ASK, 900)
    await anext(items)
    await asyncio.sleep(0.1)
    with pytest.raises(errors.ProviderTimeout):
        [item async for item in items]


async def test_who_cannot_be_reached_in_time_was_sent_nothing(party: Party) -> None:
    """A listener whose queue is full lets callers wait, as a firewall that drops does."""
    with socket.socket() as deaf, contextlib.ExitStack() as stack:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(deaf.getsockname())
        party.move("http://{}:{}".format(*deaf.getsockname()))
        for call in (party.complete, party.stream):
            with pytest.raises(errors.ProviderUnavailable):
                await call(timeout_ms=200)
            leaving = asyncio.ensure_future(call())
            await asyncio.wait({leaving}, timeout=0.2)
            assert isinstance(await cause_of_end(leaving), errors.ProviderUnavailable)


async def test_who_leaves_while_an_answer_is_awaited_had_sent_the_request(party: Party) -> None:
    party.upstream.wait_s = 5
    for count, call in enumerate((party.complete, party.stream), start=1):
        leaving = asyncio.ensure_future(call())
        while len(party.upstream.peers) < count:
            await asyncio.sleep(0.01)
        assert await cause_of_end(leaving) is None


async def cause_of_end(leaving: asyncio.Future[object]) -> BaseException | None:
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError) as left:
        await leaving
    return left.value.__cause__


async def test_waiting_for_our_own_connections_blames_nobody(dialect: Dialect) -> None:
    async with opened(dialect, max_connections=1) as party:
        party.upstream.wait_s = 5
        first = asyncio.create_task(party.complete())
        while not party.upstream.peers:
            await asyncio.sleep(0.01)
        with pytest.raises(errors.ConnectionsExhausted):
            await party.complete(timeout_ms=100)
        first.cancel()
        await asyncio.wait({first})
    assert len(party.upstream.peers) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid"])
async def test_nobody_listens(party: Party, host: str) -> None:
    party.move(f"http://{host}:{free_port()}")
    for call in (party.complete, party.stream):
        with pytest.raises(errors.ProviderUnavailable):
            await call()


NONSENSE = [
    b"",
    b"no json",
    b"[]",
    b"{}",
    b'"x"',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"error": ' + b"[" * 100_000,
    b'{"choices": []}',
    b'{"choices": [{"message": {"content": 5}}]}',
    b'{"choices": [{"message": {"tool_calls": [{"function": 3}]}}]}',
    b'{"content": 5}',
    b'{"content": [{"type": "text", "text": null}]}',
    b'{"candidates": [{"content": {"parts": [{"text": 7}]}, "finishReason": "STOP"}]}',
]


@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
async def test_nonsense_is_named_as_such(party: Party, body: bytes) -> None:
    party.upstream.body = body
    with pytest.raises(errors.ProviderMalformed):
        await party.complete()
    party.upstream.body = b"data: " + body + b"\n\n"
    with pytest.raises(errors.ProviderMalformed):
        await party.stream()


async def test_an_error_told_in_a_good_status_is_read_as_such(party: Party) -> None:
    party.upstream.body = b'{"error": {"message": "sk-secret"}}'
    with pytest.raises(errors.ProviderUnavailable):
        await party.complete()
    party.upstream.body = b"data: " + party.upstream.body + b"\n\n"
    with pytest.raises(errors.ProviderUnavailable):
        await party.stream()


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_too_large_is_cut_off(party: Party, *, chunked: bool) -> None:
    """The cut comes whether or not the length is declared, even if an answer would follow."""
    answer = party.upstream.dialect.uncounted("Forty-two.")
    party.upstream.chunked = chunked
    party.upstream.body = b" " * MAX_BODY_BYTES + answer
    with pytest.raises(errors.ProviderMalformed, match="exceeds"):
        await party.complete(timeout_ms=PATIENT_MS)
    party.upstream.body = b":\n" * (MAX_BODY_BYTES // 2) + b"data: " + answer + b"\n\n"
    with pytest.raises(errors.ProviderMalformed, match=r"exceeds|too large"):
        await party.stream(timeout_ms=PATIENT_MS)


async def test_a_compressed_body_is_unfolded_within_the_bound(party: Party) -> None:
    party.upstream.body = gzip.compress(b" " * MAX_BODY_BYTES * 4)
    party.upstream.headers = {"content-encoding": "gzip"}
    for call in (party.complete, party.stream):
        with pytest.raises(errors.ProviderMalformed, match="exceeds"):
            await call()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw"])
async def test_a_body_compressed_against_the_request_is_read(party: Party, coding: str) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "raw": raw_deflated}[coding]
    party.upstream.body = pack(party.upstream.dialect.uncounted("Forty-two."))
    party.upstream.headers = {"content-encoding": "gzip" if coding == "gzip" else "deflate"}
    assert (await party.complete()).text == "Forty-two."


def raw_deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("coding", ["br", "gzip"])
async def test_a_body_that_cannot_be_unfolded_is_named_as_such(party: Party, coding: str) -> None:
    party.upstream.body = party.upstream.dialect.uncounted("Forty-two.")
    party.upstream.headers = {"content-encoding": coding}
    for call in (party.complete, party.stream):
        with pytest.raises(errors.ProviderMalformed, match=r"compressed|unpacked"):
            await call()


@pytest.mark.parametrize("aborts", [False, True])
@pytest.mark.parametrize("pieces", [0, 1, 2])
async def test_a_stream_that_breaks_off_is_no_answer(
    party: Party, pieces: int, *, aborts: bool
) -> None:
    party.upstream.pieces, party.upstream.aborts = pieces, aborts
    with pytest.raises(errors.ProviderMalformed):
        await party.stream()
    party.upstream.pieces, party.upstream.aborts = None, False
    assert (await party.complete()).text == "Forty-two."


async def test_a_connection_that_breaks_before_an_answer_had_sent_the_request(party: Party) -> None:
    """It may be charged, unlike where nobody listened."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        party.move("http://{}:{}".format(*server.sockets[0].getsockname()))
        for call in (party.complete, party.stream):
            with pytest.raises(errors.ProviderDisconnected) as caught:
                await call()
            assert isinstance(caught.value, CHARGED)


async def test_a_call_that_an_earlier_model_broke_off_can_be_sent(party: Party) -> None:
    """Its arguments are an object again, which holds what there was of them."""
    said = Message(Role.ASSISTANT, tool_calls=(ToolCall("c", "add", "{no json"),))
    chat = ChatRequest((Message(Role.USER, (TextPart("hi"),)), said))
    assert (await party.complete(chat)).text
    assert "{no json" in json.dumps(party.upstream.asked)
