"""Traces reach a collector over OTLP: one tree a request, with the caller's trace and no text."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from adaptive_router.v1 import router_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.contract.dialects import DIALECTS
from tests.e2e.conftest import chat
from tests.e2e.test_refusals import good
from tests.e2e.wire import Wire, on_uvloop, routed

(OPENAI,) = (each for each in DIALECTS if each.name == "openai")
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SECRET = "the prompt nobody may see"


@dataclass
class Collector:
    """An OTLP receiver. bodies: as they came."""

    port: int = 0
    bodies: list[bytes] = field(default_factory=list)

    @property
    def spans(self) -> list[Any]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for request in requests
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

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
            collector.bodies.append(self.rfile.read(int(self.headers["content-length"])))
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
    request = collector.named("adaptive_router.v1.RouterService/Complete")
    assert request.parent_span_id.hex() == PARENT
    assert facts(request)["adaptive_router.decision_id"] == receipt.decision_id
    assert facts(request)["rpc.response.status_code"] == "OK"
    by_id = {span.span_id: span for span in collector.spans}
    for name in ("admit", "cache", "embeddings", "decide", "call"):
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
