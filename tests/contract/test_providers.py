"""One suite over every provider, against real local HTTP servers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from email.utils import formatdate

import pytest

from demo.stack import free_port
from router.adapters.providers import make_client, make_providers
from router.adapters.providers.http import MAX_BODY_BYTES
from router.core import errors
from router.core.arms import Deployment, Price
from router.core.chat import (
    Answer,
    ChatRequest,
    FinishReason,
    Format,
    ImagePart,
    Message,
    ResponseFormat,
    Role,
    Sampling,
    TextDelta,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
    Usage,
)
from router.core.ports import Provider
from tests.contract.dialects import CALL, DIALECTS, Dialect, Upstream, served

KEY = "sk-secret"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
ASK = ChatRequest((Message(Role.USER, (TextPart("What is six times seven?"),)),))
FULL = ChatRequest(
    messages=(
        Message(Role.SYSTEM, (TextPart("Be brief."),)),
        Message(Role.USER, (TextPart("Look:"), ImagePart("https://example.com/cat.png"))),
        Message(Role.ASSISTANT, tool_calls=(ToolCall("call_9", "add", '{"a": 5}'),)),
        Message(Role.TOOL, (TextPart("the sum is 6"),), tool_call_id="call_9"),
    ),
    tools=(Tool("add", "Adds.", json.dumps(SCHEMA)),),
    tool_choice=ToolChoice(ToolMode.REQUIRED, "add"),
    response_format=ResponseFormat(Format.JSON_SCHEMA, json.dumps(SCHEMA)),
    sampling=Sampling(temperature=0.5, top_p=0.9, max_output_tokens=77, stop=("END",), seed=3),
)


class Party:
    """A provider, its deployment and the server behind it."""

    def __init__(self, provider: Provider, upstream: Upstream) -> None:
        self.provider = provider
        self.upstream = upstream
        self.deployment = self._deployment(upstream.base_url)

    def _deployment(self, base_url: str) -> Deployment:
        name = self.upstream.dialect.name
        return Deployment("here", name, base_url, "model-1", Price(1, 1), logprobs=True)

    async def complete(self, chat: ChatRequest = ASK, timeout_ms: float = 5_000) -> Answer:
        return await self.provider.complete(self.deployment, chat, timeout_ms)

    async def stream(self, chat: ChatRequest = ASK, timeout_ms: float = 5_000) -> list:
        return [item async for item in self.provider.stream(self.deployment, chat, timeout_ms)]


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.name)
async def party(request: pytest.FixtureRequest) -> AsyncIterator[Party]:
    dialect: Dialect = request.param
    async with make_client() as client, served(Upstream(dialect)) as upstream:
        yield Party(make_providers(client, {"here": KEY})[dialect.name], upstream)


async def test_a_whole_answer(party: Party) -> None:
    answer = await party.complete()
    assert answer.text == "Forty-two."
    assert answer.finish_reason is FinishReason.STOP
    assert answer.usage == Usage(11, 7)
    assert answer.model == "served"


async def test_a_streamed_answer_is_its_deltas(party: Party) -> None:
    *deltas, answer = await party.stream()
    assert deltas == [TextDelta("Forty"), TextDelta("-two.")]
    assert answer == await party.complete()


@pytest.mark.parametrize(
    ("said", "reason"),
    [("length", FinishReason.LENGTH), ("filter", FinishReason.CONTENT_FILTER)],
)
async def test_why_it_stopped(party: Party, said: str, reason: FinishReason) -> None:
    party.upstream.finish = said
    assert (await party.complete()).finish_reason is reason
    assert (await party.stream())[-1].finish_reason is reason


async def test_a_tool_call_comes_back(party: Party) -> None:
    party.upstream.call = CALL
    (call,) = (await party.complete(FULL)).tool_calls
    assert (call.id, call.name, json.loads(call.arguments)) == ("call_0", "add", {"a": 1})


async def test_everything_is_sent(party: Party) -> None:
    await party.complete(FULL)
    sent = json.dumps(party.upstream.asked)
    for piece in ("Be brief.", "cat.png", "Adds.", "the sum is 6", "END", '"a": 5', "0.9", "77"):
        assert piece in sent.replace('\\"', '"')
    if party.upstream.dialect.name != "anthropic":  # its protocol has no seed
        assert '"seed": 3' in sent
    assert KEY in party.upstream.asked_headers[party.upstream.dialect.key_header]
    assert KEY not in sent


async def test_what_is_not_set_is_not_sent(party: Party) -> None:
    await party.complete()
    sent = json.dumps(party.upstream.asked)
    for name in ("temperature", "seed", "stop", "tool", "response"):
        assert name not in sent


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, errors.ProviderRefusedRequest),
        (401, errors.ProviderUnauthorized),
        (403, errors.ProviderUnauthorized),
        (404, errors.ProviderRefusedRequest),
        (408, errors.ProviderTimeout),
        (413, errors.ProviderRefusedRequest),
        (422, errors.ProviderRefusedRequest),
        (429, errors.ProviderRateLimited),
        (500, errors.ProviderUnavailable),
        (503, errors.ProviderUnavailable),
        (504, errors.ProviderTimeout),
        (302, errors.ProviderMalformed),
    ],
)
async def test_every_status_has_its_error(
    party: Party, status: int, error: type[errors.ProviderError]
) -> None:
    party.upstream.status = status
    party.upstream.body = f"the key {KEY} and the prompt".encode()
    for call in (party.complete, party.stream):
        with pytest.raises(error) as caught:
            await call()
        assert type(caught.value) is error
        assert KEY not in str(caught.value)
        assert "prompt" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_in_both_forms(party: Party, status: int) -> None:
    party.upstream.status = status
    party.upstream.headers = {"retry-after": "7"}
    with pytest.raises(errors.ProviderRateLimited) as caught:
        await party.complete()
    assert caught.value.retry_after_ms == 7_000
    party.upstream.headers = {"retry-after": formatdate(time.time() + 30, usegmt=True)}
    with pytest.raises(errors.ProviderRateLimited) as caught:
        await party.complete()
    assert 25_000 < (caught.value.retry_after_ms or 0) <= 30_000


async def test_a_limit_on_time(party: Party) -> None:
    party.upstream.wait_s = 5
    for call in (party.complete, party.stream):
        with pytest.raises(errors.ProviderTimeout):
            await call(timeout_ms=100)


async def test_nobody_listens(party: Party) -> None:
    party.deployment = party._deployment(f"http://127.0.0.1:{free_port()}")  # noqa: SLF001 - same class of tests
    for call in (party.complete, party.stream):
        with pytest.raises(errors.ProviderUnavailable):
            await call()


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b"{}", b'{"choices": []}', b'{"content": 5}', b'"x"']
)
async def test_nonsense_is_named_as_such(party: Party, body: bytes) -> None:
    party.upstream.body = body
    with pytest.raises(errors.ProviderMalformed):
        await party.complete()


async def test_a_body_without_end_is_cut_off(party: Party) -> None:
    party.upstream.body = b"data: " + b"x" * (MAX_BODY_BYTES + 1)
    for call in (party.complete, party.stream):
        with pytest.raises(errors.ProviderMalformed):
            await call()


async def test_a_stream_that_breaks_off_is_no_answer(party: Party) -> None:
    party.upstream.break_off = True
    if party.upstream.dialect.name == "openai":  # its last event is the usage, which is optional
        answer = (await party.stream())[-1]
        assert answer.usage.output_tokens > 0
        return
    with pytest.raises(errors.ProviderMalformed):
        await party.stream()


async def test_leaving_a_stream_ends_the_call(party: Party) -> None:
    party.upstream.wait_s = 0.05
    party.upstream.texts = ("word ",) * 1_000
    async with aclosing(party.provider.stream(party.deployment, ASK, 60_000)) as items:
        async for _ in items:
            break
    async with asyncio.timeout(5):
        await party.upstream.left.wait()


async def test_many_at_once(party: Party) -> None:
    answers = await asyncio.gather(*(party.complete() for _ in range(50)))
    assert {a.text for a in answers} == {"Forty-two."}
