"""Traces where the standard environment variables of OpenTelemetry ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

import structlog

from router.ports.observer import NO_TRACER, Tracer

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN: Final = ("http/protobuf", "grpc")
PACKAGES: Final = {
    "http/protobuf": "adaptive-router[traces]",
    "grpc": "adaptive-router[traces] and opentelemetry-exporter-otlp-proto-grpc",
}


def is_wanted(env: Mapping[str, str]) -> bool:
    """True if the variables name a collector, or the exporter to it, and nothing rules it out.

    >>> is_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    True
    >>> is_wanted({}), is_wanted({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"})
    (False, False)
    """
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = env.get("OTEL_TRACES_EXPORTER", "").lower().replace(" ", "")
    if not exporters:
        return any(env.get(name) for name in ENDPOINTS)
    return "otlp" in exporters.split(",")


def tracing(env: Mapping[str, str], stack: AsyncExitStack) -> Tracer:
    """Returns the tracer of a process; what it has left to send goes out at the end.

    A trace is never a reason not to serve: what is missing is told in the log.
    """
    if not is_wanted(env):
        return NO_TRACER
    spoken = next((env[name] for name in PROTOCOLS if env.get(name)), SPOKEN[0])
    if spoken not in SPOKEN:
        _warn(f"set OTEL_EXPORTER_OTLP_PROTOCOL to {' or '.join(SPOKEN)}")
        return NO_TRACER
    try:
        from router.observe.traces import make_tracer  # noqa: PLC0415 - costs nothing when off

        tracer = make_tracer(over_grpc=spoken == "grpc")
    except ImportError:
        _warn(f"install {PACKAGES[spoken]}, or unset OTEL_EXPORTER_OTLP_ENDPOINT")
        return NO_TRACER
    except ValueError:
        _warn("give every OTEL_ variable a value of its kind")
        return NO_TRACER
    stack.push_async_callback(tracer.close)
    return tracer


def _warn(fix: str) -> None:
    structlog.get_logger("app").warning("traces_off", fix=fix)
