"""Traces by OpenTelemetry: spans of requests, named by its semantic conventions; no user text.

Imported only where the standard variables (`OTEL_EXPORTER_OTLP_ENDPOINT` ...) turn tracing on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import Final, Self
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from router.domain.catalog import Deployment
from router.domain.chat import Answer, ChatRequest, Format
from router.domain.errors import RouterError
from router.domain.records import Attempt, AttemptOutcome, DecisionRecord
from router.observe.metrics import PROVIDER_NAMES, built_version
from router.ports.observer import NO_SPAN, Span, Tracer
from router.ports.upstream import EMBEDDING_MODEL

NAME: Final = "adaptive-router"
OWN: Final = "adaptive_router."
END_S: Final = 5.0
"""For what was not sent yet when the process ends."""
FAULTS: Final = frozenset(
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)
"""Codes of gRPC that are the service's fault, by OpenTelemetry's convention for servers."""
SERVER_FAULT: Final = 500
NAMES: Final[Mapping[str, str]] = {
    "embed": f"embeddings {EMBEDDING_MODEL}",
    "similar": "cache similar",
}
"""Stages whose spans are named otherwise."""
FACTS: Final[Mapping[str, Mapping[str, str]]] = {
    "embed": {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "onnxruntime",
        "gen_ai.request.model": EMBEDDING_MODEL,
    }
}
"""Attributes that are known of a stage as it begins."""
MOST_STATE: Final = 512
"""Characters of a caller's tracestate that others are handed; W3C asks for no more."""
_propagator = TraceContextTextMapPropagator()


class OpenSpan(Span):
    """A span under way; it ends when it is left, and is the parent of what begins in between."""

    __slots__ = ("_before", "is_kept", "span", "trace_id")

    def __init__(self, span: trace.Span) -> None:
        self.span = span
        # Its work may go on in the background after it has ended, and is recorded all the same.
        self.is_kept = span.is_recording()
        self.trace_id = f"{span.get_span_context().trace_id:032x}"
        self._before: OpenSpan | None = None

    def note(self, **facts: str | float | bool) -> None:
        for name, value in facts.items():
            self.span.set_attribute(OWN + name, value)

    def heard(self, seconds: float) -> None:
        self.span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)

    def attempted(self, attempt: Attempt, answer: Answer | None) -> None:
        facts: dict[str, str | float | Sequence[str]] = {
            "gen_ai.usage.input_tokens": attempt.input_tokens,
            "gen_ai.usage.output_tokens": attempt.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": attempt.cached_tokens,
            "gen_ai.usage.cache_creation.input_tokens": attempt.written_tokens,
            "gen_ai.usage.reasoning.output_tokens": attempt.reasoning_tokens,
            OWN + "cost_usd": attempt.cost_usd,
            OWN + "verdict": attempt.why,
        }
        if answer is not None:
            facts["gen_ai.response.model"] = answer.model
            facts["gen_ai.response.finish_reasons"] = (answer.finish_reason.value,)
        self.span.set_attributes(facts)
        if attempt.outcome is AttemptOutcome.FAILED:
            self._failed(attempt.why)

    def ended(self, code: str, status: str | int, record: DecisionRecord | None) -> None:
        over_http = isinstance(status, int)
        name = "http.response.status_code" if over_http else "rpc.response.status_code"
        self.span.set_attribute(name, status)
        if record is not None:
            self.span.set_attributes(_facts_of(record))
        if code != "OK":
            self.span.set_attribute("error.type", code.lower())
        if status >= SERVER_FAULT if isinstance(status, int) else status in FAULTS:
            self.span.set_status(Status(StatusCode.ERROR))
        self.span.end()

    def _failed(self, kind: str) -> None:
        self.span.set_attribute("error.type", kind)
        self.span.set_status(Status(StatusCode.ERROR))

    def __enter__(self) -> Self:
        self._before = _current.get()
        _current.set(self)
        return self

    def __exit__(self, kind: object, error: object, trace: object, /) -> None:
        # Not by a token: a generator may be closed in another context than it was begun in.
        _current.set(self._before)
        if isinstance(error, Exception):
            self._failed(_kind(error))
        elif isinstance(error, BaseException):
            self.span.set_attribute("error.type", "cancelled")
        self.span.end()


_current: ContextVar[OpenSpan | None] = ContextVar("span", default=None)


class OpenTelemetryTracer(Tracer):
    """provider: of the SDK; its sampler decides at the request which spans are kept."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(NAME, built_version())

    @property
    def sampler(self) -> str:
        """Which requests are kept, in the words of the SDK."""
        return self._provider.sampler.get_description()

    def request(self, method: str, given: Mapping[str, str]) -> Span:
        verb, _, route = method.partition(" ")
        facts = {"http.request.method": verb} | ({"http.route": route} if route else {})
        if "/" in verb:
            facts = {"rpc.system.name": "grpc", "rpc.method": method}
        if len(given.get("tracestate", "")) > MOST_STATE:
            given = {"traceparent": given.get("traceparent", "")}
        came_from = _propagator.extract(given)
        span = OpenSpan(
            self._tracer.start_span(method, came_from, SpanKind.SERVER, attributes=facts)
        )
        _current.set(span)
        return span

    def stage(self, name: str) -> Span:
        parent = _current.get()
        if parent is None or not parent.is_kept:
            return NO_SPAN
        within = trace.set_span_in_context(parent.span)
        return OpenSpan(
            self._tracer.start_span(NAMES.get(name, name), within, attributes=FACTS.get(name))
        )

    def attempt(
        self, arm: str, deployment: Deployment, chat: ChatRequest, most_tokens: int, *, live: bool
    ) -> Span:
        parent = _current.get()
        if parent is None or not parent.is_kept:
            return NO_SPAN
        facts = _request_facts(deployment, chat, live=live) | {
            "gen_ai.request.max_tokens": most_tokens,
            OWN + "arm": arm,
            OWN + "deployment": deployment.name,
        }
        within = trace.set_span_in_context(parent.span)
        name = f"chat {deployment.model}"
        return OpenSpan(self._tracer.start_span(name, within, SpanKind.CLIENT, attributes=facts))

    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        current = _current.get()
        if current is None:
            return ()
        carried: dict[str, str] = {}
        _propagator.inject(carried, trace.set_span_in_context(current.span))
        return [(name.encode(), text.encode()) for name, text in carried.items()]

    async def close(self) -> None:
        """Send what was not sent yet; a collector that is away keeps nobody waiting."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(done.set)

        # A thread that nothing waits for: an executor's would be joined at the end.
        threading.Thread(target=shut_down, name="traces-end", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await done.wait()


def make_tracer(*, over_grpc: bool = False) -> OpenTelemetryTracer:
    """Returns a tracer that the standard variables configure; it sends OTLP, by default over HTTP.

    Raises ImportError, and ValueError for a variable that cannot be read.
    """
    resource = Resource.create()
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": NAME}))
    if "service.version" not in resource.attributes:
        resource = resource.merge(Resource({"service.version": built_version()}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = _grpc_exporter() if over_grpc else OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return OpenTelemetryTracer(provider)


def _grpc_exporter() -> SpanExporter:
    """Returns an exporter whose package few need: it is looked for only where it is wanted."""
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 - see above
        OTLPSpanExporter as Exporter,
    )

    exporter: SpanExporter = Exporter()
    return exporter


def _kind(error: Exception) -> str:
    return error.reason.lower() if isinstance(error, RouterError) else type(error).__name__


def _request_facts(
    deployment: Deployment, chat: ChatRequest, *, live: bool
) -> dict[str, str | float | bool]:
    """Returns what is asked of a deployment; stop sequences are the caller's text."""
    url, sampling = urlsplit(deployment.base_url), chat.sampling
    facts: dict[str, str | float | bool | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": PROVIDER_NAMES.get(deployment.provider, deployment.provider),
        "gen_ai.request.model": deployment.model,
        "gen_ai.request.stream": live or None,
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.request.top_p": sampling.top_p,
        "gen_ai.request.seed": sampling.seed,
        "gen_ai.output.type": "text" if chat.response_format.kind is Format.TEXT else "json",
        "server.address": url.hostname,
        "server.port": url.port or {"https": 443}.get(url.scheme, 80),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _facts_of(record: DecisionRecord) -> dict[str, str | float | bool]:
    facts: dict[str, str | float | bool] = {
        OWN + "decision_id": record.id,
        OWN + "arm": record.arm,
        OWN + "cache": record.cache.value,
        OWN + "cost_usd": record.cost_usd,
        "gen_ai.usage.input_tokens": sum(a.input_tokens for a in record.attempts),
        "gen_ai.usage.output_tokens": sum(a.output_tokens for a in record.attempts),
    }
    if record.model:
        facts["gen_ai.response.model"] = record.model
    if record.choice is not None:
        facts[OWN + "plan"] = record.choice.plan
        facts[OWN + "explored"] = record.choice.explored
    if record.session_id:
        facts["gen_ai.conversation.id"] = record.session_id
    return facts
