"""Waiting over HTTP: signs of life on a silent stream, and how long a client says it waits."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.e2e.conftest import KEY, Router
from tests.e2e.http_doors import (
    PATIENCE_S,
    QUESTION,
    USAGE,
    Held,
    anthropic_client,
    door,
    openai_client,
    says,
    url,
)
from tests.e2e.wire import Asked, Reply, Wire, on_uvloop, raw, whole

PINGED = ", ping_ms: 50"
SILENCE_S = 0.5
PATHS = {
    "/v1/chat/completions": b": ping\n\n",
    "/v1/responses": b": ping\n\n",
    "/v1/messages": b'event: ping\ndata: {"type":"ping"}\n\n',
}


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def _chunk(**more: Any) -> bytes:
    return b"data: " + json.dumps(more).encode() + b"\n\n"


def hesitant(_: Asked) -> Reply:
    """Is silent before its first word, and again before its last."""
    words = [_chunk(choices=[{"index": 0, "delta": {"content": w}}]) for w in ("Forty", "-two.")]
    end = _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], usage=USAGE)
    return raw(SILENCE_S, words[0], SILENCE_S, words[1], end, b"data: [DONE]\n\n")


def failing(_: Asked) -> Reply:
    return raw(SILENCE_S, aborts=True)


def asked(path: str) -> dict[str, Any]:
    question = {"input" if path.endswith("responses") else "messages": QUESTION}
    limit = {"max_tokens": 100} if path.endswith("messages") else {}
    return {"model": "auto", "stream": True} | question | limit


async def streamed(router: Router, path: str) -> bytes:
    async with httpx.AsyncClient(base_url=url(router), timeout=PATIENCE_S) as http:
        answer = await http.post(path, json=asked(path), headers={"x-api-key": KEY})
        assert answer.status_code == 200
        return answer.content


@pytest.mark.parametrize("path", PATHS)
@on_uvloop
async def test_silence_is_broken_in_the_dialects_way(tmp_path: Path, path: str) -> None:
    async with door(tmp_path, Wire(hesitant), server=PINGED) as router:
        got = await streamed(router, path)
    before, between = got.split(b"Forty", 1)
    assert before.startswith(PATHS[path])
    assert before.count(PATHS[path]) >= 2
    assert PATHS[path] in between.split(b"-two.")[0]


@pytest.mark.parametrize("path", PATHS)
@on_uvloop
async def test_a_failure_after_a_sign_of_life_is_an_event(tmp_path: Path, path: str) -> None:
    async with door(tmp_path, Wire(failing), server=PINGED) as router:
        got = await streamed(router, path)
    last = json.loads(got.strip().rpartition(b"data: ")[2])
    assert PATHS[path] in got
    assert last.get("error", last)["message"]


@on_uvloop
async def test_no_sign_of_life_comes_where_there_is_no_silence(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says())) as router:
        for path, ping in PATHS.items():
            assert ping not in await streamed(router, path)


@on_uvloop
async def test_official_clients_read_over_it(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(hesitant), server=PINGED) as router:
        async with openai_client(router) as client:
            answer = await client.chat.completions.create(
                model="auto", messages=QUESTION, stream=True
            )
            words = [c.choices[0].delta.content or "" async for c in answer if c.choices]
            assert "".join(words) == "Forty-two."
            async with client.responses.stream(model="auto", input="Say it.") as events:
                assert (await events.get_final_response()).output_text == "Forty-two."
        async with (
            anthropic_client(router) as other,
            other.messages.stream(model="auto", max_tokens=9, messages=QUESTION) as stream,
        ):
            assert await stream.get_final_text() == "Forty-two."


@on_uvloop
async def test_who_leaves_a_pinged_stream_ends_the_call(tmp_path: Path) -> None:
    wire = Held(says())
    async with (
        door(tmp_path, wire, server=", ping_ms: 5") as router,
        httpx.AsyncClient(base_url=url(router), timeout=PATIENCE_S) as http,
    ):
        path = "/v1/chat/completions"
        given: dict[str, Any] = {"json": asked(path), "headers": {"x-api-key": KEY}}
        async with asyncio.timeout(PATIENCE_S):
            async with http.stream("POST", path, **given) as answer:
                signs = (piece async for piece in answer.aiter_bytes() if b": ping" in piece)
                await anext(signs)
                await wire.began.wait()
                await anext(signs)
            await wire.left.wait()


@pytest.mark.parametrize("name", ["x-stainless-timeout", "x-stainless-read-timeout"])
@on_uvloop
async def test_a_whole_answer_is_due_when_its_client_says(tmp_path: Path, name: str) -> None:
    wire = Held(says())
    async with (
        door(tmp_path, wire) as router,
        httpx.AsyncClient(base_url=url(router), timeout=PATIENCE_S) as http,
    ):
        began_s = time.monotonic()
        late = await http.post(
            "/v1/chat/completions",
            json={"model": "auto", "messages": QUESTION},
            headers={"x-api-key": KEY, name: "0.4"},
        )
        assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline_exceeded")
        assert time.monotonic() - began_s < PATIENCE_S / 2
        async with asyncio.timeout(PATIENCE_S):
            await wire.left.wait()


@on_uvloop
async def test_what_is_said_of_waiting_is_taken_with_care(tmp_path: Path) -> None:
    """A stream has no such end; the router's own header counts before it; nonsense is nothing."""
    async with (
        door(tmp_path, Wire(hesitant), server=PINGED) as router,
        httpx.AsyncClient(base_url=url(router), timeout=PATIENCE_S) as http,
    ):
        path = "/v1/chat/completions"
        given = {"x-api-key": KEY, "x-stainless-read-timeout": "0.2"}
        live = await http.post(path, json=asked(path), headers=given)
        assert b"-two." in live.content
    async with (
        door(tmp_path / "other", Wire(says())) as router,
        httpx.AsyncClient(base_url=url(router), timeout=PATIENCE_S) as http,
    ):
        body = {"model": "auto", "messages": QUESTION}
        for said in ("nan", "-1", "0", "soon", "1e99"):
            given = {"x-api-key": KEY, "x-stainless-timeout": said}
            assert (await http.post(path, json=body, headers=given)).status_code == 200
        given = {"x-api-key": KEY, "x-stainless-timeout": "1e-6", "x-router-timeout-ms": "60000"}
        assert (await http.post(path, json=body, headers=given)).status_code == 200


@on_uvloop
async def test_the_providers_parameter_is_named(tmp_path: Path) -> None:
    error = {"message": "no", "type": "invalid_request_error", "param": "top_p", "code": "bad"}
    async with (
        door(tmp_path, Wire(lambda _: whole({"error": error}, 400))) as router,
        openai_client(router) as client,
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model="auto", messages=QUESTION)
        assert refused.value.param == "top_p"
