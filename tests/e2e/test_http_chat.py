"""The chat completions door, asked by the official client over real HTTP."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pydantic
import pytest

from router.domain.tenants import TenantLimits
from tests.e2e.http_doors import (
    CALLS,
    PATIENCE_S,
    QUESTION,
    SCHEMA,
    USAGE,
    Held,
    calls,
    door,
    openai_client,
    says,
    url,
)
from tests.e2e.wire import Wire, events, on_uvloop, routed, whole

PIXEL = "data:image/png;base64,iVBORw0KGgo="
TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it.", "parameters": SCHEMA},
}


class Place(pydantic.BaseModel):
    city: str


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


@on_uvloop
async def test_whole_with_its_receipt(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says())) as router, openai_client(router) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="auto", messages=QUESTION, extra_headers={"x-router-task": "quiz"}
        )
        done = raw.parse()
        assert done.choices[0].message.content == "Forty-two."
        assert done.choices[0].finish_reason == "stop"
        assert done.usage is not None
        assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (12, 5)
        found = await router.decision(raw.headers["x-router-decision-id"])
        assert found.receipt.arm == raw.headers["x-router-arm"] == "a"
        assert float(raw.headers["x-router-cost-usd"]) == pytest.approx(found.receipt.cost_usd)


@on_uvloop
async def test_a_stream_ends_with_usage_and_receipt(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says("One two"))) as router, openai_client(router) as client:
        for usage in (True, False):
            stream = await client.chat.completions.create(
                model="auto",
                messages=QUESTION,
                stream=True,
                stream_options={"include_usage": usage},
                extra_headers={"x-router-no-cache": "true"},
            )
            chunks = [chunk async for chunk in stream]
            text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
            assert text == "Onetwo"
            assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
            last = chunks[-1]
            assert (last.usage is not None) is usage
            assert last.model_extra is not None
            assert last.model_extra["router"]["arm"] == "a"
            assert last.model_extra["router"]["cost_usd"] > 0


@pytest.mark.parametrize("asks", [True, False])
@on_uvloop
async def test_one_chunk_of_a_stream_has_usage(tmp_path: Path, *, asks: bool) -> None:
    """Also where the provider counts in each chunk, and where the first arm answers whole."""
    counts = {"choices": [{"index": 0, "delta": {"content": "One"}}], "usage": USAGE}
    ends = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE}
    counting = Wire(lambda _: events(counts, ends, done=True))
    arms = {"whole": [Wire(says())], "counting": [counting]}
    plans = "plans: {both: [whole, counting], alone: [counting]}"
    async with (
        routed(tmp_path, arms, server=", http_port: 0", sections=plans) as router,
        openai_client(router) as client,
    ):
        for model in ("both", "alone"):
            stream = await client.chat.completions.create(
                model=model,
                messages=QUESTION,
                stream=True,
                stream_options={"include_usage": asks},
            )
            chunks = [chunk async for chunk in stream]
            assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
            assert sum(c.usage is not None for c in chunks) == asks, model


@on_uvloop
async def test_calls_whole_and_streamed(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(calls)) as router, openai_client(router) as client:
        done = await client.chat.completions.create(model="a", messages=QUESTION, tools=[TOOL])
        made = done.choices[0].message.tool_calls or []
        assert [(c.id, c.function.arguments) for c in made] == list(CALLS)  # type: ignore[union-attr]
        assert done.choices[0].finish_reason == "tool_calls"
        async with client.chat.completions.stream(
            model="a", messages=QUESTION, tools=[TOOL]
        ) as stream:
            streamed = await stream.get_final_completion()
        again = streamed.choices[0].message.tool_calls or []
        assert [(c.id, c.function.arguments) for c in again] == list(CALLS)


@on_uvloop
async def test_structured_output(tmp_path: Path) -> None:
    async with (
        door(tmp_path, Wire(says('{"city":"Oslo"}'))) as router,
        openai_client(router) as client,
    ):
        done = await client.chat.completions.parse(
            model="auto", messages=QUESTION, response_format=Place
        )
        assert done.choices[0].message.parsed == Place(city="Oslo")


@on_uvloop
async def test_what_is_sent_reaches_the_provider(tmp_path: Path) -> None:
    wire = Wire(says("{}"), options=", images: yes")
    sent: dict[str, Any] = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "Rain."},
            {"role": "user", "content": "And now?"},
        ],
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
        },
        "temperature": 0.25,
        "top_p": 0.5,
        "max_tokens": 77,
        "stop": ["END", "FIN"],
        "seed": 7,
    }
    async with door(tmp_path, wire) as router, openai_client(router) as client:
        await client.chat.completions.create(model="a", **sent)
    got = wire.asked[-1].body
    assert {name: got[name] for name in sent} == sent


@on_uvloop
async def test_errors_are_the_clients_own(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says())) as router, openai_client(router) as client:
        create = client.chat.completions.create
        with pytest.raises(openai.NotFoundError) as unknown:
            await create(model="gpt-nothing", messages=QUESTION)
        assert unknown.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as several:
            await create(model="auto", messages=QUESTION, n=2)
        assert several.value.param == "n"
        with pytest.raises(openai.UnprocessableEntityError):
            await create(
                model="auto", messages=QUESTION, extra_headers={"x-router-max-cost-usd": "1e-9"}
            )
        async with openai_client(router, api_key="wrong") as stranger:
            with pytest.raises(openai.AuthenticationError):
                await stranger.models.list()
        await router.tenant("poor", TenantLimits(requests_per_minute=1))
        async with openai_client(router, api_key="ar_poor") as poor:
            await poor.chat.completions.create(model="auto", messages=QUESTION)
            with pytest.raises(openai.RateLimitError) as limited:
                await poor.chat.completions.create(model="auto", messages=QUESTION)
        assert 1 <= int(limited.value.response.headers["retry-after"]) <= 60
        assert limited.value.response.headers["x-router-reason"] == "QUOTA_EXCEEDED"


@on_uvloop
async def test_a_failing_provider_is_retried_by_the_client(tmp_path: Path) -> None:
    failing = [True, True]

    def flaky(asked: Any) -> Any:
        return whole({"error": {}}, 503) if failing and failing.pop() else says()(asked)

    async with (
        door(
            tmp_path, Wire(flaky), sections="health: {failures: 9}\ncache: {enabled: false}"
        ) as router,
        openai_client(router, max_retries=3) as client,
    ):
        done = await client.chat.completions.create(model="auto", messages=QUESTION)
        assert done.choices[0].message.content == "Forty-two."
        assert not failing


@on_uvloop
async def test_models(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says())) as router, openai_client(router) as client:
        found = [model async for model in await client.models.list()]
        assert {"auto", "a"} <= {model.id for model in found}
        auto = await client.models.retrieve("auto")
        assert auto.model_extra is not None
        assert auto.model_extra["context_window"] == 128_000
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("b")


@on_uvloop
async def test_probes_need_no_key(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says())) as router, httpx.AsyncClient() as client:
        for path in ("/livez", "/readyz"):
            answer = await client.get(url(router) + path)
            assert (answer.status_code, answer.json()) == (200, {"serving": True})


@pytest.mark.parametrize("stream", [True, False])
@on_uvloop
async def test_who_leaves_ends_the_providers_call(tmp_path: Path, *, stream: bool) -> None:
    wire = Held(says())
    async with door(tmp_path, wire) as router, openai_client(router) as client:
        asking = asyncio.create_task(_read_all(client, stream=stream))
        async with asyncio.timeout(PATIENCE_S):
            await wire.began.wait()
            await asyncio.sleep(0.05)
            asking.cancel()
            left_s = time.monotonic()
            await wire.left.wait()
        await asyncio.gather(asking, return_exceptions=True)
    assert wire.left_s - left_s < 0.1


async def _read_all(client: openai.AsyncOpenAI, *, stream: bool) -> None:
    answer: Any = await client.chat.completions.create(
        model="auto", messages=QUESTION, stream=stream
    )
    async for _ in answer:
        pass


@on_uvloop
async def test_a_timeout_of_the_router_is_told(tmp_path: Path) -> None:
    async with door(tmp_path, Held(says())) as router, openai_client(router) as client:
        with pytest.raises(openai.InternalServerError) as late:
            await client.chat.completions.create(
                model="auto", messages=QUESTION, extra_headers={"x-router-timeout-ms": "1500"}
            )
        assert late.value.status_code == 504
        assert late.value.response.headers["x-should-retry"] == "false"


@on_uvloop
async def test_idempotency_and_sessions_go_along(tmp_path: Path) -> None:
    wire = Wire(says())
    async with door(tmp_path, wire) as router, openai_client(router) as client:
        headers = {"idempotency-key": "k1", "x-router-session": "s1"}
        ids = set()
        for _ in range(2):
            done = await client.chat.completions.create(
                model="auto", messages=QUESTION, extra_headers=headers
            )
            assert done.model_extra is not None
            ids.add(done.model_extra["router"]["decision_id"])
        assert len(ids) == len(wire.asked) == 1
        with pytest.raises(openai.UnprocessableEntityError):
            await client.chat.completions.create(
                model="auto",
                messages=[{"role": "user", "content": "Another?"}],
                extra_headers=headers,
            )
