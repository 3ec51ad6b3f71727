"""Structured logs: one JSON object a line on stderr, names and numbers only."""

from __future__ import annotations

import logging
import math
import sys
import threading
import traceback
from types import TracebackType
from typing import Final, TextIO

import structlog

MAX_VALUE_CHARS = 256
OURS: Final = frozenset({"app", "bandit", "router"})
"""Loggers, by the first part of their names, whose messages are names and numbers only."""

_MOST_BITS: Final = 1_024
"""Size of the largest whole number that is written out."""

QUIET: Final = ("httpx", "httpcore", "opentelemetry.trace")
"""Libraries that write a line for every call, or for every odd header of a stranger."""


def configure_logs(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Also for libraries, of which it is told who spoke and from where, not what was said."""
    shared: list[structlog.typing.Processor] = [
        _without_messages,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_exceptions,
        _bounded,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _line,
        ],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    lines = _Lines(handler)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # a line that can't be written would be quoted on stderr
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_told
    sys.unraisablehook = _log_told
    structlog.configure(
        processors=[*shared, _line],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )


class _Lines:
    """Writes what is whole already beside the lines of libraries, without a record for each.

    A line that can't be written is lost, as theirs is.
    """

    def __init__(self, handler: logging.StreamHandler[TextIO]) -> None:
        self._handler = handler

    def msg(self, line: str) -> None:
        handler = self._handler
        handler.acquire()
        try:
            handler.stream.write(f"{line}{handler.terminator}")
            handler.flush()
        except Exception:  # noqa: BLE001, S110 - no request fails for its line
            pass
        finally:
            handler.release()

    debug = info = warning = error = critical = msg


_json = structlog.processors.JSONRenderer(allow_nan=False)


def _line(logger: object, name: str, event: structlog.typing.EventDict) -> str | bytes:
    """Returns the JSON of a line; what it can't hold is told by its kind."""
    try:
        return _json(logger, name, event)
    except Exception:  # noqa: BLE001 - no request fails for its line
        return _json(logger, name, {str(key): _plain(value) for key, value in event.items()})


def _plain(value: object) -> str | int | float | bool | None:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | float | bool):
        return value
    if isinstance(value, int) and value.bit_length() <= _MOST_BITS:
        return value
    return type(value).__name__


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    told = (error or kind()).with_traceback(trace)
    logging.getLogger("app").critical("uncaught", exc_info=told)


def _log_told(told: threading.ExceptHookArgs | sys.UnraisableHookArgs) -> None:
    _log_uncaught(told.exc_type, told.exc_value, told.exc_traceback)


def _without_messages(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """A message of a library may quote an exception, a URL or a key."""
    record = event.get("_record")
    if isinstance(record, logging.LogRecord) and record.name.partition(".")[0] not in OURS:
        event["event"] = "a library logged"
        event["logger"], event["at"] = record.name, f"{record.module}:{record.lineno}"
    return event


def _without_exceptions(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """A driver's exception text can hold a URL, a key or a prompt: its type and place are kept."""
    info = event.pop("exc_info", None)
    event.pop("stack_info", None)
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        info = info or record.exc_info
        record.exc_info, record.exc_text, record.stack_info = None, None, None
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["raised_at"] = _place(error.__traceback__)
    return event


def _place(trace: TracebackType | None) -> str:
    """Module and line of the innermost frame."""
    frames = list(traceback.walk_tb(trace))
    if not frames:
        return ""
    frame, line = frames[-1]
    return f"{frame.f_globals.get('__name__', '')}:{line}"


def _bounded(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {
        key: value[:MAX_VALUE_CHARS] if isinstance(value, str) else value
        for key, value in event.items()
    }
