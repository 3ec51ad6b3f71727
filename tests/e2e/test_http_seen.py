"""A request over HTTP is found again: its id, its trace, its log line and its metrics."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.e2e.conftest import KEY, Router
from tests.e2e.http_doors import (
    PATIENCE_S,
    QUESTION,
    Held,
    anthropic_client,
    door,
    openai_client,
    says,
    url,
)
from tests.e2e.logged import logged
from tests.e2e.test_traces import PARENT, TRACE, Collector, collecting, facts
from tests.e2e.wire import Wire, asked_whole, on_uvloop, whole

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "auto", "messages": QUESTION}
GIVEN = {"x-request-id": "req-7", "traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


@pytest.fixture
def log() -> Iterator[StringIO]:
    with logged() as stream:
        yield stream


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{made.port}")
        yield made


def calls(log: StringIO) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in log.getvalue().splitlines())
    return [line for line in lines if line["event"] == "call"]


async def told(log: StringIO, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(PATIENCE_S):
        while len(calls(log)) < count:
            await asyncio.sleep(0.01)
    return calls(log)


async def posted(router: Router, body: Any = BODY, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
        given = {"x-api-key": KEY} | {name.replace("_", "-"): v for name, v in headers.items()}
        return await http.post(url(router) + CHAT, json=body, headers=given)


@on_uvloop
async def test_both_doors_tell_the_same_of_a_call(tmp_path: Path, log: StringIO) -> None:
    async with door(tmp_path, Wire(says()), sections="cache: {enabled: false}") as router:
        await asked_whole(router)
        answer = await posted(router, **GIVEN)
        over_grpc, over_http = await told(log, 2)
    assert over_http.keys() == over_grpc.keys()
    assert answer.headers["x-request-id"] == answer.headers["request-id"] == "req-7"
    expected = {"request_id": "req-7", "trace_id": TRACE, "method": "ChatCompletions", "code": "OK"}
    assert expected.items() <= over_http.items()
    decided = ("tenant", "plan", "arm", "deployment", "input_tokens", "output_tokens", "cost_usd")
    assert [over_http[name] for name in decided] == [over_grpc[name] for name in decided]
    assert over_http["decision_id"] == answer.headers["x-router-decision-id"]


@on_uvloop
async def test_an_error_is_told_with_what_was_decided(tmp_path: Path, log: StringIO) -> None:
    ill = Wire(lambda _: whole({"error": {"message": "no"}}, 500))
    async with door(tmp_path, ill) as router:
        failed = await posted(router)
        unknown = await posted(router, BODY | {"model": "no such"}, x_request_id="a b")
        lines = await told(log, 2)
    assert failed.status_code == 502
    assert lines[0]["code"] == failed.headers["x-router-reason"]
    assert lines[0]["decision_id"] == failed.headers["x-router-decision-id"]
    assert lines[0]["attempts"] >= 1
    made = [failed.headers["x-request-id"], unknown.headers["x-request-id"]]
    assert [line["request_id"] for line in lines] == made
    assert "a b" not in made


@on_uvloop
async def test_official_clients_name_the_request(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says())) as router:
        async with openai_client(router) as client:
            done = await client.chat.completions.create(
                model="auto", messages=QUESTION, extra_headers=GIVEN
            )
            assert done._request_id == "req-7"  # noqa: SLF001 - its documented name
            with pytest.raises(openai.NotFoundError) as refused:
                await client.chat.completions.create(
                    model="no such", messages=QUESTION, extra_headers=GIVEN
                )
            assert (refused.value.request_id, refused.value.param) == ("req-7", "model")
        async with anthropic_client(router) as other:
            message = await other.messages.create(
                model="auto", max_tokens=9, messages=QUESTION, extra_headers=GIVEN
            )
            assert message._request_id == "req-7"  # noqa: SLF001 - its documented name


@on_uvloop
async def test_one_tree_from_the_callers_trace_to_the_provider(
    tmp_path: Path, collector: Collector
) -> None:
    wire = Wire(says())
    async with door(tmp_path, wire, environment=dict(os.environ)) as router:
        answer = await posted(router, **GIVEN)
        nowhere = httpx.AsyncClient(base_url=url(router))
        assert (await nowhere.get("/v1/nothing/a/b", headers=GIVEN)).status_code == 404
        assert (await nowhere.get("/readyz")).status_code == 200
        await nowhere.aclose()
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    request = collector.named(f"POST {CHAT}")
    assert request.parent_span_id.hex() == PARENT
    assert facts(request)["http.response.status_code"] == 200
    assert facts(request)["adaptive_router.decision_id"] == answer.headers["x-router-decision-id"]
    assert facts(collector.named("GET"))["http.response.status_code"] == 404
    (attempt,) = (span for span in collector.spans if span.name.startswith("chat "))
    (asked,) = wire.asked
    assert asked.headers["traceparent"] == f"00-{TRACE}-{attempt.span_id.hex()}-01"


@on_uvloop
async def test_who_leaves_is_told_as_cancelled(tmp_path: Path, log: StringIO) -> None:
    wire = Held(says())
    async with door(tmp_path, wire) as router:
        asking = asyncio.create_task(posted(router, BODY | {"stream": True}))
        async with asyncio.timeout(PATIENCE_S):
            await wire.began.wait()
            asking.cancel()
            await wire.left.wait()
        (line,) = await told(log, 1)
    assert line["code"] == "CANCELLED"


@on_uvloop
async def test_methods(tmp_path: Path) -> None:
    async with (
        door(tmp_path, Wire(says())) as router,
        httpx.AsyncClient(base_url=url(router), headers={"x-api-key": KEY}) as http,
    ):
        for path in ("/livez", "/readyz", "/v1/models"):
            head, get = await http.head(path), await http.get(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == get.headers["content-length"]
        refused = await http.request("OPTIONS", CHAT)
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
        assert refused.json()["error"]["param"] == "method"
