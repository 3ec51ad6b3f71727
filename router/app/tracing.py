"""Traces where the standard environment variables of OpenTelemetry ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from router.ports.observer import NO_TRACER, Tracer

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN: Final = ("http/protobuf", "grpc")


def is_wanted(env: Mapping[str, str]) -> bool:
    """True if the variables name a collector, or the exporter to it, and nothing rules it out.

    >>> is_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    True
    >>> is_wanted({}), is_wanted({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"})
    (False, False)
    """
    if _word(env, "OTEL_SDK_DISABLED") == "true":
        return False
    exporters = _word(env, "OTEL_TRACES_EXPORTER")
    if not exporters:
        return bool(_word(env, *ENDPOINTS))
    return "otlp" in (name.strip() for name in exporters.split(","))


def _word(env: Mapping[str, str], *names: str) -> str:
    """Returns the first of these variables that says something."""
    words = (env.get(name, "").strip().lower() for name in names)
    return next(filter(None, words), "")


def tracing(env: Mapping[str, str], stack: AsyncExitStack) -> Tracer:
    """Returns the tracer of a process; what it has left to send goes out at the end.

    A trace is never a reason not to serve: what is missing is told in the log.
    """
    if not is_wanted(env):
        return NO_TRACER
    spoken = _word(env, *PROTOCOLS) or SPOKEN[0]
    fix = _fix(spoken, _word(env, *ENDPOINTS))
    if fix:
        return _off(fix)
    try:
        from router.observe.traces import make_tracer  # noqa: PLC0415 - costs nothing when off

        tracer = make_tracer(over_grpc=spoken == "grpc")
    except ImportError:
        return _off(f"install adaptive-router[traces], or unset {ENDPOINTS[1]}")
    except Exception:  # noqa: BLE001 - the SDK raises what it likes over a variable
        return _off("give every OTEL_ variable a value of its kind")
    stack.push_async_callback(tracer.close)
    _log().info("traces_on", protocol=spoken, sampler=tracer.sampler)
    return tracer


def _fix(spoken: str, endpoint: str) -> str:
    """Returns what is to be changed, "" for nothing."""
    if spoken not in SPOKEN:
        return f"set OTEL_EXPORTER_OTLP_PROTOCOL to {' or '.join(SPOKEN)}"
    if spoken == "grpc" or not endpoint or _is_url(endpoint):
        return ""
    return f"write {ENDPOINTS[1]} as http://HOST:PORT"


def _is_url(text: str) -> bool:
    """True if it can be sent to.

    >>> _is_url("https://collector:4318/v1/traces"), _is_url("collector:4318")
    (True, False)
    """
    try:
        url = urlsplit(text)
        return url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def _off(fix: str) -> Tracer:
    _log().warning("traces_off", fix=fix)
    return NO_TRACER


def _log() -> Any:
    return structlog.get_logger("app")
