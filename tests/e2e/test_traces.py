"""Traces reach a collector over OTLP: one tree a request, with the caller's trace and no text."""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from adaptive_router.v1 import router_pb2
from adaptive_router_client import AsyncClient
from opentelemetry import propagate
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.semconv._incubating.attributes import (
    error_attributes,
    gen_ai_attributes,
    http_attributes,
    rpc_attributes,
    server_attributes,
)

from tests.contract.dialects import DIALECTS
from tests.e2e.conftest import KEY, chat
from tests.e2e.ledger import upstream
from tests.e2e.test_refusals import good
from tests.e2e.wire import Reply, Wire, asked_live, asked_whole, on_uvloop, raw, routed, whole

(OPENAI,) = (each for each in DIALECTS if each.name == "openai")
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
ERROR = 2
EMBEDDINGS = "embeddings bge-small-en-v1.5"
SERVICE = "adaptive_router.v1.RouterService"
ROOT = Path(__file__).parents[2]
WAIT_S = 60.0
A_PIECE = (b'data: {"choices": [{"index": 0, "delta": {"content": "Well"}}]}\n\n',)
SECRET = "the prompt nobody may see"


@dataclass
class Collector:
    """An OTLP receiver. bodies: as they came."""

    port: int = 0
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def resources(self) -> list[Any]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [each for request in requests for each in request.resource_spans]

    @property
    def spans(self) -> list[Any]:
        scopes = [scope for resource in self.resources for scope in resource.scope_spans]
        return [span for scope in scopes for span in scope.spans]

    def assert_whole(self) -> None:
        """Every span's parent is here: a span that was left open would be missing."""
        ids = {span.span_id for span in self.spans}
        orphans = [s.name for s in self.spans if s.parent_span_id and s.parent_span_id not in ids]
        assert not orphans
        assert all(span.end_time_unix_nano >= span.start_time_unix_nano for span in self.spans)

    def named(self, name: str) -> Any:
        (span,) = (span for span in self.spans if span.name == name)
        return span


def facts(span: Any) -> dict[str, Any]:
    return {
        fact.key: getattr(fact.value, fact.value.WhichOneof("value")) for fact in span.attributes
    }


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["content-length"]))
            told = {name.lower(): value for name, value in self.headers.items()}
            zipped = told.get("content-encoding") == "gzip"
            collector.bodies.append(gzip.decompress(body) if zipped else body)
            collector.headers.append(told)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{made.port}")
        yield made


@on_uvloop
async def test_a_request_is_one_tree_from_its_callers_trace_to_its_provider(
    tmp_path: Path, collector: Collector
) -> None:
    wire = Wire(lambda asked: good(OPENAI, asked))
    environment = dict(os.environ)
    async with routed(tmp_path, {"only": [wire]}, sections="", environment=environment) as router:
        given = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("x-request-id", "req-7"))
        call = router.stub.Complete(
            router_pb2.CompleteRequest(chat=chat(SECRET)), metadata=(*router.metadata, *given)
        )
        receipt = (await call).receipt
        assert dict(await call.trailing_metadata())["x-request-id"] == "req-7"
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    request = collector.named(f"{SERVICE}/Complete")
    assert request.parent_span_id.hex() == PARENT
    assert facts(request)["adaptive_router.decision_id"] == receipt.decision_id
    assert facts(request)["rpc.response.status_code"] == "OK"
    by_id = {span.span_id: span for span in collector.spans}
    for name in ("admit", "cache", EMBEDDINGS, "decide", "call"):
        assert collector.named(name).trace_id.hex() == TRACE
    (attempt,) = (span for span in collector.spans if span.name.startswith("chat "))
    assert by_id[attempt.parent_span_id].name == "call"
    told = facts(attempt)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.usage.output_tokens"] == receipt.attempts[0].output_tokens
    assert told["server.port"] == wire.port
    (asked,) = wire.asked
    assert asked.headers["traceparent"] == f"00-{TRACE}-{attempt.span_id.hex()}-01"
    assert not any(SECRET.encode() in body for body in collector.bodies)


def trace_context() -> list[tuple[str, str]]:
    """As the page of clients has it."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return list(carrier.items())


@on_uvloop
async def test_a_caller_s_span_is_the_parent_of_what_its_client_asks(
    tmp_path: Path, collector: Collector
) -> None:
    wire, own = Wire(lambda asked: good(OPENAI, asked)), TracerProvider(shutdown_on_exit=False)
    async with routed(tmp_path, {"only": [wire]}, environment=dict(os.environ)) as router:
        target = f"127.0.0.1:{router.port}"
        async with AsyncClient(target, key=KEY, more=trace_context) as client:
            with own.get_tracer("caller").start_as_current_span("question") as span:
                done = await client.complete(SECRET)
                await client.feedback(done, quality=1.0)
            asked_by = span.get_span_context()
    for name in ("Complete", "Feedback"):
        request = collector.named(f"{SERVICE}/{name}")
        assert request.parent_span_id.hex() == f"{asked_by.span_id:016x}"
        assert request.trace_id.hex() == f"{asked_by.trace_id:032x}"
    assert wire.asked[0].headers["traceparent"].split("-")[1] == f"{asked_by.trace_id:032x}"


def attempts(collector: Collector) -> list[Any]:
    found = (span for span in collector.spans if span.name.startswith("chat "))
    return sorted(found, key=lambda span: span.start_time_unix_nano)


@on_uvloop
async def test_a_stream_that_fails_over_tells_each_attempt(
    tmp_path: Path, collector: Collector
) -> None:
    ill = Wire(lambda _: whole({"error": {"message": SECRET}}, 500))
    well = Wire(lambda asked: good(OPENAI, asked))
    async with routed(tmp_path, {"only": [ill, well]}, environment=dict(os.environ)) as router:
        await asked_live(router, SECRET)
    first, second = attempts(collector)
    assert facts(first)["error.type"] == "provider_unavailable"
    assert facts(first)["adaptive_router.deployment"] == "only0"
    assert first.status.code == ERROR
    assert not first.status.message
    assert not first.events
    assert facts(second)["gen_ai.response.time_to_first_chunk"] > 0
    assert facts(second)["gen_ai.response.finish_reasons"].values[0].string_value == "stop"
    assert second.status.code != ERROR
    assert not any(SECRET.encode() in body for body in collector.bodies)


@on_uvloop
async def test_a_request_that_nobody_answers_tells_what_was_decided(
    tmp_path: Path, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    ill = Wire(lambda _: whole({"error": {"message": SECRET}}, 500))
    async with routed(tmp_path, {"only": [ill]}, environment=dict(os.environ)) as router:
        with pytest.raises(grpc.aio.AioRpcError):
            await asked_whole(router, SECRET)
    request = collector.named(f"{SERVICE}/Complete")
    told = facts(request)
    assert (told["error.type"], request.status.code) == ("all_attempts_failed", ERROR)
    assert told["adaptive_router.plan"] == "only"
    (line,) = (each for each in capsys.readouterr().out.splitlines() if "code=ALL_" in each)
    assert "plan=only" in line
    assert "attempts=1" in line
    assert told["adaptive_router.decision_id"] in line


@on_uvloop
async def test_gate_and_verifier_stand_between_the_rungs(
    tmp_path: Path, collector: Collector
) -> None:
    verifier = Wire(lambda _: whole({"quality": 0.1}))
    arms = {name: [Wire(lambda asked: good(OPENAI, asked))] for name in ("cheap", "strong")}
    async with upstream(verifier):
        sections = f"""
plans: {{ladder: {{rungs: [cheap, strong]}}}}
judging: {{audit_share: 0, verifier: {{url: 'http://127.0.0.1:{verifier.port}/'}}}}
"""
        environment = dict(os.environ)
        async with routed(tmp_path, arms, sections=sections, environment=environment) as router:
            await asked_whole(router)
    gate, asked = collector.named("gate"), collector.named("verifier")
    assert asked.parent_span_id == gate.span_id
    assert facts(gate)["adaptive_router.escalated"] is True
    assert facts(asked)["adaptive_router.quality"] == 0.1
    (told,) = verifier.asked
    assert told.headers["traceparent"].split("-")[2] == asked.span_id.hex()
    assert [facts(each)["adaptive_router.arm"] for each in attempts(collector)] == [
        "cheap",
        "strong",
    ]


@on_uvloop
async def test_a_refused_call_is_traced_and_its_id_goes_back(
    tmp_path: Path, collector: Collector
) -> None:
    async with routed(
        tmp_path, {"only": [Wire(lambda asked: good(OPENAI, asked))]}, environment=dict(os.environ)
    ) as router:
        call = router.stub.Complete(
            router_pb2.CompleteRequest(chat=chat("Hi.")), metadata=(("x-request-id", "a b"),)
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
    trailing = dict(caught.value.trailing_metadata() or ())
    assert len(trailing["x-request-id"]) == 32, "one that is no word is replaced"
    assert "grpc-status-details-bin" in trailing
    request = collector.named(f"{SERVICE}/Complete")
    assert facts(request)["rpc.response.status_code"] == "UNAUTHENTICATED"
    assert facts(request)["error.type"] == "unauthenticated"
    assert request.status.code != ERROR


@on_uvloop
async def test_without_the_variables_nobody_is_told_of_a_trace(tmp_path: Path) -> None:
    wire = Wire(lambda asked: good(OPENAI, asked))
    given = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
    async with routed(tmp_path, {"only": [wire]}) as router:
        request = router_pb2.CompleteRequest(chat=chat("Hi."))
        await router.stub.Complete(request, metadata=(*router.metadata, *given))
    assert "traceparent" not in wire.asked[0].headers


@on_uvloop
async def test_a_sampler_of_the_environment_keeps_nothing(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    wire = Wire(lambda asked: good(OPENAI, asked))
    async with routed(tmp_path, {"only": [wire]}, environment=dict(os.environ)) as router:
        await asked_whole(router)
    assert not collector.bodies
    flags = wire.asked[0].headers["traceparent"].rpartition("-")[2]
    assert not int(flags, 16) & 1


SILENT_S = 20.0


@on_uvloop
async def test_a_collector_that_never_answers_delays_neither_calls_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{silent.getsockname()[1]}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    wire = Wire(lambda asked: good(OPENAI, asked))
    async with routed(tmp_path, {"only": [wire]}, environment=dict(os.environ)) as router:
        for number in range(3):
            await asked_whole(router, f"Say {number}.")
        began_s = time.monotonic()
    assert time.monotonic() - began_s < SILENT_S
    silent.close()


WRONG = {
    "OTEL_EXPORTER_OTLP_PROTOCOL": ("http/json", "http/protobuf or grpc"),
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ("collector:4318", "http://HOST:PORT"),
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": ("-3", "of its kind"),
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": ("none", "of its kind"),
}
MISSING = {
    "opentelemetry.sdk.trace": ("HTTP/Protobuf", "adaptive-router[traces]"),
    "opentelemetry.exporter.otlp.proto.grpc": ("grpc", "adaptive-router[traces]"),
}


@pytest.fixture(params=[*WRONG, *MISSING])
def fix(
    request: pytest.FixtureRequest, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Something is wrong; what the log says of it."""
    assert collector.port
    if request.param in WRONG:
        value, fix = WRONG[request.param]
        monkeypatch.setenv(request.param, value)
        return fix
    protocol, fix = MISSING[request.param]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.delitem(sys.modules, "router.observe.traces", raising=False)
    monkeypatch.setitem(sys.modules, request.param, None)
    return fix


@on_uvloop
async def test_what_keeps_traces_from_going_out_is_told_and_calls_are_served(
    tmp_path: Path,
    collector: Collector,
    capsys: pytest.CaptureFixture[str],
    fix: str,
) -> None:
    wire = Wire(lambda asked: good(OPENAI, asked))
    async with routed(tmp_path, {"only": [wire]}, environment=dict(os.environ)) as router:
        await asked_whole(router)
    (told,) = (line for line in capsys.readouterr().out.splitlines() if "traces_off" in line)
    assert fix in told
    assert not collector.bodies


AUDITED = """
plans: {ladder: {rungs: [cheap, strong], second: other, gate: agreement}}
judging: {audit_share: 1, audit_usd_per_day: 1, judge: 'strong'}
cache: {enabled: false}
"""


@on_uvloop
async def test_an_audit_is_a_span_of_the_request_that_it_checks(
    tmp_path: Path, collector: Collector
) -> None:
    judging = Wire(lambda asked: good(OPENAI, asked))
    arms = {name: [Wire(lambda asked: good(OPENAI, asked))] for name in ("cheap", "other")}
    arms["strong"], environment = [judging], dict(os.environ)
    async with routed(tmp_path, arms, sections=AUDITED, environment=environment) as router:
        await asked_whole(router, SECRET)
        async with asyncio.timeout(WAIT_S):
            while not judging.asked:
                await asyncio.sleep(0.01)
    request, audit = collector.named(f"{SERVICE}/Complete"), collector.named("audit")
    assert audit.parent_span_id == request.span_id
    assert audit.end_time_unix_nano > request.end_time_unix_nano
    assert facts(audit)["adaptive_router.arm"] == "strong"
    assert facts(audit)["adaptive_router.result"] == "unreadable"
    (asked,) = (span for span in attempts(collector) if span.parent_span_id == audit.span_id)
    assert judging.asked[0].headers["traceparent"].split("-")[2] == asked.span_id.hex()
    collector.assert_whole()
    assert not any(SECRET.encode() in body for body in collector.bodies)


@on_uvloop
async def test_a_caller_who_leaves_and_one_whose_time_is_over_leave_no_span_open(
    tmp_path: Path, collector: Collector
) -> None:
    silent = Wire(lambda _: Reply((WAIT_S,), silent=True))
    begun = Wire(lambda _: raw(*A_PIECE, WAIT_S))
    arms, environment = {"silent": [silent], "begun": [begun]}, dict(os.environ)
    async with routed(tmp_path, arms, environment=environment) as router:

        def call(arm: str, timeout_s: float | None = None) -> Any:
            routing = router_pb2.RoutingOptions(arm=arm)
            request = router_pb2.StreamCompleteRequest(chat=chat(SECRET), routing=routing)
            stub = router.stub
            return stub.StreamComplete(request, metadata=router.metadata, timeout=timeout_s)

        left = call("begun")
        assert (await left.read()).text_delta
        left.cancel()
        before = call("silent")
        async with asyncio.timeout(WAIT_S):
            while not silent.asked:
                await asyncio.sleep(0.01)
        before.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await call("silent", 0.5).read()
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        broken = router_pb2.StreamCompleteRequest(chat=chat(SECRET))
        broken.chat.messages[0].ClearField("role")
        with pytest.raises(grpc.aio.AioRpcError):
            await router.stub.StreamComplete(broken, metadata=router.metadata).read()
    collector.assert_whole()
    requests = [span for span in collector.spans if span.name == f"{SERVICE}/StreamComplete"]
    ends = sorted(facts(span)["error.type"] for span in requests)
    assert ends[:2] == ["cancelled", "cancelled"]
    assert set(ends[2:]) <= {"cancelled", "deadline_exceeded", "invalid_request"}
    assert len(ends) == 4
    assert len(attempts(collector)) == len(silent.asked) + len(begun.asked) == 3
    assert all(facts(span)["adaptive_router.verdict"] for span in attempts(collector))
    assert not any(span.events for span in collector.spans)
    assert not any(SECRET.encode() in body for body in collector.bodies)


@on_uvloop
async def test_the_standard_variables_say_where_and_how_spans_go(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:1"
    for name, value in {
        "OTEL_EXPORTER_OTLP_ENDPOINT": nowhere,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{collector.port}/v1/traces",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-scope=team%20a,authorization=Bearer%20t",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.version=7",
        "OTEL_SERVICE_NAME": "chat-router",
    }.items():
        monkeypatch.setenv(name, value)
    wire = Wire(lambda asked: good(OPENAI, asked))
    async with routed(tmp_path, {"only": [wire]}, environment=dict(os.environ)) as router:
        await asked_whole(router)
    assert {told["x-scope"] for told in collector.headers} == {"team a"}
    assert {told["authorization"] for told in collector.headers} == {"Bearer t"}
    assert {told["content-encoding"] for told in collector.headers} == {"gzip"}
    told = facts(collector.resources[0].resource)
    assert told["service.name"] == "chat-router"
    assert told["deployment.environment.name"] == "test"
    assert told["service.version"] == "7"
    collector.assert_whole()


@on_uvloop
async def test_a_share_of_requests_is_sampled_as_the_variables_say(
    tmp_path: Path,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    wire, asked = Wire(lambda asked: good(OPENAI, asked)), 40
    async with routed(tmp_path, {"only": [wire]}, environment=dict(os.environ)) as router:
        for number in range(asked):
            await asked_whole(router, f"Say {number}.")
    assert "TraceIdRatioBased{0.5}" in capsys.readouterr().out
    roots = [span for span in collector.spans if span.name == f"{SERVICE}/Complete"]
    assert 5 <= len(roots) <= 35  # less likely than one in a million
    kept = {span.trace_id.hex() for span in roots}
    for each in wire.asked:
        _, trace, _, flags = each.headers["traceparent"].split("-")
        assert (trace in kept) is bool(int(flags, 16) & 1)
    collector.assert_whole()


@on_uvloop
async def test_the_variable_that_disables_the_sdk_wins(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "TRUE")
    wire = Wire(lambda asked: good(OPENAI, asked))
    async with routed(tmp_path, {"only": [wire]}, environment=dict(os.environ)) as router:
        await asked_whole(router)
    assert not collector.bodies
    assert "traceparent" not in wire.asked[0].headers


class _Received(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - its name
        self.collector.bodies.append(request.SerializeToString())
        self.collector.headers.append(dict(context.invocation_metadata()))
        return ExportTraceServiceResponse()


@on_uvloop
async def test_spans_go_out_over_grpc_where_the_variables_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc")
    collector, server = Collector(), grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Received(collector), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=team%20a")
    wire = Wire(lambda asked: good(OPENAI, asked))
    try:
        async with routed(tmp_path, {"only": [wire]}, environment=dict(os.environ)) as router:
            await asked_whole(router)
    finally:
        await asyncio.to_thread(server.stop(None).wait)
    assert collector.named(f"{SERVICE}/Complete")
    assert {told["x-scope"] for told in collector.headers} == {"team a"}
    assert facts(collector.resources[0].resource)["service.name"] == "adaptive-router"
    collector.assert_whole()


def test_every_name_is_one_of_the_conventions() -> None:
    """What begins with gen_ai is in the installed conventions; the rest is theirs or ours."""
    source = (ROOT / "router" / "observe" / "traces.py").read_text(encoding="utf-8")
    modules = (error_attributes, gen_ai_attributes, http_attributes, rpc_attributes)
    modules += (server_attributes,)
    known = {text for module in modules for text in vars(module).values() if isinstance(text, str)}
    used = set(re.findall(r'"((?:gen_ai|rpc|http|server|error)\.[a-z_.]+)"', source))
    assert len(used) > 20
    assert used <= known
