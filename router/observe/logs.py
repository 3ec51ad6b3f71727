"""Structured logs: one JSON object a line on stderr, names and numbers only."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog

MAX_VALUE_CHARS = 256


def configure_logs(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Also for the standard library's loggers; their messages pass, their tracebacks do not."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_exceptions,
        _bounded,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("httpx", "httpcore"):  # they log URLs, and query strings can hold keys
        logging.getLogger(name).setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _without_exceptions(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """A driver's exception text can hold a URL, a key or a prompt: only its type is kept."""
    info = event.pop("exc_info", None)
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        info = info or record.exc_info
        record.exc_info, record.exc_text = None, None
    if info is True:
        info = sys.exc_info()
    if isinstance(info, tuple) and info[0] is not None:
        event["error"] = info[0].__name__
    elif isinstance(info, BaseException):
        event["error"] = type(info).__name__
    return event


def _bounded(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {
        key: value[:MAX_VALUE_CHARS] if isinstance(value, str) else value
        for key, value in event.items()
    }
