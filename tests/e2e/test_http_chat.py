"""The chat completions door, asked by the official client over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from tests.e2e.conftest import KEY, Router

QUESTION: list[Any] = [{"role": "user", "content": "How many roads?"}]


@pytest.fixture
def learns() -> bool:
    return False


@pytest.fixture
def doors() -> str:
    return "http_port: 0"


@pytest.fixture
def url(router: Router) -> str:
    return f"http://127.0.0.1:{router.http_port}/v1"


@pytest_asyncio.fixture
async def client(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=url, max_retries=0) as made:
        yield made


async def test_a_whole_answer_with_its_receipt(client: openai.AsyncOpenAI, router: Router) -> None:
    raw = await client.chat.completions.with_raw_response.create(model="auto", messages=QUESTION)
    done = raw.parse()
    assert done.choices[0].message.content == "Forty-two."
    assert done.choices[0].finish_reason == "stop"
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    found = await router.decision(raw.headers["x-router-decision-id"])
    assert found.receipt.arm == raw.headers["x-router-arm"]
    assert float(raw.headers["x-router-cost-usd"]) == pytest.approx(found.receipt.cost_usd)


async def test_a_stream_ends_with_usage_and_receipt(client: openai.AsyncOpenAI) -> None:
    options = {"include_usage": True}
    stream = await client.chat.completions.create(
        model="auto", messages=QUESTION, stream=True, stream_options=options
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Forty-two."
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    assert chunks[-1].model_extra is not None
    assert chunks[-1].model_extra["router"]["decision_id"]
