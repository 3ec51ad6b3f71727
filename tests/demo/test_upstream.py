"""The simulated provider, asked as the router asks it and as a stranger would."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import httpx
import pytest

from demo.simulated import SimulatedWorld
from demo.stack import free_port, listens
from router.adapters.providers import make_client, make_providers
from router.domain import errors
from router.domain.catalog import Deployment, Price
from router.domain.chat import ChatRequest, ImagePart, Message, Role, TextPart, Usage
from router.ports.upstream import Provider

COUNT, SEED = 30, 4


@contextmanager
def running(profile: str, *options: str) -> Iterator[int]:
    port = free_port()
    argv = ["demo.upstream", "--profile", profile, "--port", str(port), *options]
    process = subprocess.Popen([sys.executable, "-m", *argv])  # noqa: S603 - our own module
    try:
        while not listens(port):
            assert process.poll() is None
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    options = ("--prompts", str(COUNT), "--seed", str(SEED), "--speed", "100")
    with running("reasoning", *options) as port:
        yield port


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with make_client() as client:
        yield make_providers(client, {})["openai"]


@pytest.fixture
async def http(port: int) -> AsyncIterator[httpx.AsyncClient]:
    base_url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base_url) as client:
        yield client
        await client.post("/control", json={"down": False})


def _deployment(port: int) -> Deployment:
    return Deployment("r", "openai", f"http://127.0.0.1:{port}/v1", "reasoning", Price(1, 1))


def _chat(*parts: str | ImagePart) -> ChatRequest:
    made = tuple(TextPart(part) if isinstance(part, str) else part for part in parts)
    return ChatRequest((Message(Role.USER, made),))


async def _patiently(provider: Provider, port: int, chat: ChatRequest):
    """One in a hundred calls fails by design."""
    for _ in range(5):
        try:
            return await provider.complete(_deployment(port), chat, 5_000)
        except errors.ProviderUnavailable:
            continue
    pytest.fail("five failures in a row")


async def test_it_answers_out_of_its_world(port: int, provider: Provider) -> None:
    world = SimulatedWorld(COUNT, SEED)
    for ask in world.asks:
        answer = await _patiently(provider, port, _chat(ask.text))
        reply = world.reply("reasoning", ask.index)
        assert (answer.text, answer.finish_reason) == (reply.text, reply.finish_reason)
        assert answer.model == "reasoning"
        if reply.text:
            assert answer.usage == Usage(reply.input_tokens, reply.output_tokens)


async def test_a_stream_is_the_same_answer(port: int, provider: Provider) -> None:
    world = SimulatedWorld(COUNT, SEED)
    index = next(i for i in range(COUNT) if len(world.reply("reasoning", i).text) > 30)
    chat = _chat(world.asks[index].text)
    whole = await _patiently(provider, port, chat)
    async with aclosing(provider.stream(_deployment(port), chat, 5_000)) as items:
        *deltas, answer = [item async for item in items]
    assert answer == whole
    assert "".join(delta.text for delta in deltas) == whole.text
    assert len(deltas) > 1


async def test_a_prompt_with_an_image_is_found_by_its_text(port: int, provider: Provider) -> None:
    world = SimulatedWorld(COUNT, SEED)
    image = ImagePart("https://example.com/cat.png")
    answer = await _patiently(provider, port, _chat(world.asks[0].text, image))
    assert answer.text == world.reply("reasoning", 0).text


async def test_a_stranger_gets_an_answer_too(port: int, provider: Provider) -> None:
    answer = await _patiently(provider, port, _chat("What is 17 * 23?"))
    assert "reasoning" in answer.text


async def test_it_goes_down_and_comes_back(
    port: int, provider: Provider, http: httpx.AsyncClient
) -> None:
    assert (await http.post("/control", json={"down": True})).json() == {"down": True}
    for _ in range(3):
        with pytest.raises(errors.ProviderUnavailable):
            await provider.complete(_deployment(port), _chat("hi"), 5_000)
    assert (await http.post("/control", json={"down": False})).json() == {"down": False}
    assert (await _patiently(provider, port, _chat("hi"))).text


async def test_it_names_its_model(http: httpx.AsyncClient) -> None:
    models = (await http.get("/v1/models")).json()["data"]
    assert [model["id"] for model in models] == ["reasoning"]


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"[]", b"{}", b'{"messages": [3]}', b'{"messages": [{}]}']
)
async def test_nonsense_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    for path in ("/v1/chat/completions", "/control"):
        answer = await http.post(path, content=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]


async def test_usage_of_a_stream_is_sent_when_asked_for(http: httpx.AsyncClient) -> None:
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
    for counted in (False, True):
        body = asked | {"stream_options": {"include_usage": counted}}
        answer = await http.post("/v1/chat/completions", json=body)
        while answer.status_code == 503:
            answer = await http.post("/v1/chat/completions", json=body)
        events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]"
        assert any("usage" in json.loads(event) for event in events[:-1]) is counted


async def test_an_instant_profile_keeps_up(provider: Provider) -> None:
    with running("instant") as port:
        calls = (provider.complete(_deployment(port), _chat(str(i)), 5_000) for i in range(100))
        answers = await asyncio.gather(*calls)
    assert len({answer.text for answer in answers}) == 1
