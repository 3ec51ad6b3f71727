"""Spans as the SDK keeps them: who is whose parent, what they say, and what they never say."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator
from functools import partial

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

from router.domain.catalog import Deployment, Price
from router.domain.chat import (
    Answer,
    ChatRequest,
    FinishReason,
    Format,
    Message,
    ResponseFormat,
    Role,
    Sampling,
    Usage,
)
from router.domain.errors import Overloaded
from router.domain.records import Attempt, AttemptOutcome, DecisionRecord, Mode
from router.observe.traces import OpenTelemetryTracer
from router.ports.observer import NO_SPAN

METHOD = "adaptive_router.v1.RouterService/Complete"
TRACE = "0af7651916cd43dd8448eb211c80319c"
GIVEN = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
SECRET = "nobody may read this"
DEPLOYMENT = Deployment("mini", "gemini", "https://models.example/v1", "small", Price(1.0, 1.0))
CHAT = ChatRequest(
    (Message(Role.USER, SECRET),),
    response_format=ResponseFormat(Format.JSON_SCHEMA, f'{{"title": "{SECRET}"}}'),
    sampling=Sampling(temperature=0.5, max_output_tokens=64, stop=(SECRET,)),
)
EMBEDDINGS = "embeddings bge-small-en-v1.5"


class Kept:
    def __init__(self, *, sampled: bool = True) -> None:
        self.exporter = InMemorySpanExporter()
        sampler = None if sampled else ParentBased(ALWAYS_OFF)
        provider = TracerProvider(sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = OpenTelemetryTracer(provider)

    def __getitem__(self, name: str) -> ReadableSpan:
        (span,) = (span for span in self.exporter.get_finished_spans() if span.name == name)
        return span

    def parent(self, name: str) -> int | None:
        parent = self[name].parent
        return parent.span_id if parent else None

    def id(self, name: str) -> int:
        return self[name].context.span_id


def isolated(test: object) -> None:
    """Run in a context of its own, as grpc runs every call."""
    contextvars.copy_context().run(test)  # type: ignore[arg-type]


def an_attempt(outcome: AttemptOutcome = AttemptOutcome.ACCEPTED, why: str = "passed") -> Attempt:
    return Attempt("cheap", "mini", "small", outcome, why, 250.0, 10, 5, 0.5, cached_tokens=4)


def test_spans_are_nested_as_the_work_is_in_tasks_too() -> None:
    kept = Kept()

    async def look_up() -> None:
        with kept.tracer.stage("cache"):
            await asyncio.sleep(0)

    async def call() -> None:
        request = kept.tracer.request(METHOD, GIVEN)
        with kept.tracer.stage("admit"):
            await asyncio.gather(look_up(), asyncio.sleep(0))
        with kept.tracer.stage("embed"):
            pass
        request.ended("OK", "OK", None)

    asyncio.run(call())
    assert kept.parent("cache") == kept.id("admit")
    assert kept.parent("admit") == kept.parent(EMBEDDINGS) == kept.id(METHOD)
    assert kept.parent(METHOD) == 0xB7AD6B7169203331
    assert {f"{s.context.trace_id:032x}" for s in kept.exporter.get_finished_spans()} == {TRACE}
    assert kept[METHOD].kind is SpanKind.SERVER
    assert dict(kept[EMBEDDINGS].attributes or {}) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "onnxruntime",
        "gen_ai.request.model": "bge-small-en-v1.5",
    }


def test_work_that_goes_on_after_its_request_is_recorded_in_the_same_trace() -> None:
    kept = Kept()

    async def audit() -> None:
        called = partial(kept.tracer.attempt, "strong", DEPLOYMENT, CHAT, 48, live=False)
        with kept.tracer.stage("audit"), called():
            await asyncio.sleep(0)

    async def call() -> None:
        request = kept.tracer.request(METHOD, GIVEN)
        going_on = asyncio.create_task(audit())
        request.ended("OK", "OK", None)
        await going_on

    asyncio.run(call())
    assert kept.parent("audit") == kept.id(METHOD)
    assert kept.parent("chat small") == kept.id("audit")
    assert f"{kept['audit'].context.trace_id:032x}" == TRACE


def test_an_attempt_says_what_the_conventions_name() -> None:
    kept = Kept()

    def call() -> None:
        request = kept.tracer.request(METHOD, {})
        with kept.tracer.attempt("cheap", DEPLOYMENT, CHAT, 48, live=True) as span:
            ((name, carried),) = kept.tracer.headers()
            span.heard(0.25)
            answer = Answer(SECRET, FinishReason.STOP, Usage(10, 5), "small-2")
            span.attempted(an_attempt(), answer)
        record = DecisionRecord("d1", "acme", 0, Mode.COMPLETE, "digest", attempts=(an_attempt(),))
        request.ended("OK", "OK", record)
        assert name == b"traceparent"
        assert carried.decode().split("-")[2] == f"{kept.id('chat small'):016x}"

    isolated(call)
    told = dict(kept["chat small"].attributes or {})
    assert kept["chat small"].kind is SpanKind.CLIENT
    for name, value in {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "small",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 48,
        "gen_ai.output.type": "json",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.model": "small-2",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "server.address": "models.example",
        "server.port": 443,
        "adaptive_router.arm": "cheap",
        "adaptive_router.cost_usd": 0.5,
    }.items():
        assert told[name] == value, name
    of_all = dict(kept[METHOD].attributes or {})
    assert of_all["gen_ai.conversation.id"] == "digest"
    assert of_all["adaptive_router.decision_id"] == "d1"
    assert SECRET not in repr([told, of_all])


def test_a_failed_attempt_is_an_error_by_its_reason() -> None:
    kept = Kept()

    def call() -> None:
        kept.tracer.request(METHOD, {})
        with kept.tracer.attempt("cheap", DEPLOYMENT, CHAT, 48, live=False) as span:
            span.attempted(an_attempt(AttemptOutcome.FAILED, "provider_timeout"), None)

    isolated(call)
    assert kept["chat small"].status.status_code is StatusCode.ERROR
    assert (kept["chat small"].attributes or {})["error.type"] == "provider_timeout"


def test_an_error_is_told_by_its_kind_without_its_words() -> None:
    kept = Kept()

    def call() -> None:
        kept.tracer.request(METHOD, {})
        with pytest.raises(ValueError, match=SECRET), kept.tracer.stage("odd"):
            raise ValueError(SECRET)
        with pytest.raises(Overloaded), kept.tracer.stage("admit"):
            raise Overloaded(SECRET)

    isolated(call)
    for name, kind in (("odd", "ValueError"), ("admit", "overloaded")):
        assert (kept[name].attributes or {})["error.type"] == kind
        assert kept[name].status.status_code is StatusCode.ERROR
        assert not kept[name].events
    assert SECRET not in repr([span.to_json() for span in kept.exporter.get_finished_spans()])


@pytest.mark.parametrize(
    ("method", "code", "status", "failed"),
    [
        (METHOD, "ALL_ATTEMPTS_FAILED", "UNAVAILABLE", True),
        (METHOD, "INVALID_REQUEST", "INVALID_ARGUMENT", False),
        ("POST /v1/messages", "INTERNAL", 500, True),
        ("POST /v1/messages", "QUOTA_EXCEEDED", 429, False),
    ],
)
def test_only_the_service_s_faults_fail_a_request(
    method: str, code: str, status: str | int, *, failed: bool
) -> None:
    kept = Kept()
    isolated(lambda: kept.tracer.request(method, {}).ended(code, status, None))
    assert (kept[method].status.status_code is StatusCode.ERROR) is failed
    told = dict(kept[method].attributes or {})
    over_http = isinstance(status, int)
    name = "http.response.status_code" if over_http else "rpc.response.status_code"
    assert told[name] == status
    assert told["error.type"] == code.lower()
    assert told["http.route" if over_http else "rpc.method"] == method.rpartition(" ")[2]


def test_what_is_not_sampled_is_not_kept_and_others_are_told_so() -> None:
    kept = Kept(sampled=False)

    def call() -> None:
        request = kept.tracer.request(METHOD, {})
        assert kept.tracer.stage("embed") is NO_SPAN
        with kept.tracer.attempt("cheap", DEPLOYMENT, CHAT, 48, live=True):
            ((_, carried),) = kept.tracer.headers()
        _, trace, _, flags = carried.decode().split("-")
        assert trace == request.trace_id
        assert not int(flags, 16) & 1
        request.ended("OK", "OK", None)

    isolated(call)
    assert not kept.exporter.get_finished_spans()


async def test_a_stream_closed_in_another_task_leaves_its_span_ended_and_nothing_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = Kept()

    async def stream() -> AsyncGenerator[int]:
        with kept.tracer.stage("call"):
            yield 1
            yield 2

    async def call() -> AsyncGenerator[int]:
        kept.tracer.request(METHOD, {})
        items = stream()
        await anext(items)
        return items

    items = await asyncio.create_task(call())
    await asyncio.create_task(items.aclose())
    assert (kept["call"].attributes or {})["error.type"] == "cancelled"
    assert kept["call"].status.status_code is StatusCode.UNSET
    assert not caplog.records


def test_beside_a_request_nothing_is_traced() -> None:
    kept = Kept()

    def aside() -> None:
        assert kept.tracer.stage("embed") is NO_SPAN
        assert kept.tracer.attempt("cheap", DEPLOYMENT, CHAT, 48, live=True) is NO_SPAN
        assert not kept.tracer.headers()

    isolated(aside)


@pytest.mark.parametrize(("pairs", "goes_on"), [(1, True), (2, True), (3, False), (30, False)])
def test_a_caller_s_trace_state_goes_on_within_bounds(pairs: int, *, goes_on: bool) -> None:
    kept, state = Kept(), ",".join(f"k{number}={'v' * 200}" for number in range(pairs))

    def call() -> None:
        kept.tracer.request(METHOD, GIVEN | {"tracestate": state})
        carried = {name.decode(): text.decode() for name, text in kept.tracer.headers()}
        assert carried["traceparent"].split("-")[1] == TRACE
        assert carried.get("tracestate") == (state if goes_on else None)

    isolated(call)
