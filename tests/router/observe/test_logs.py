"""One JSON object a line, bounded, and free of what exceptions say."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from router.observe.logs import MAX_VALUE_CHARS, QUIET, configure_logs


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in QUIET}
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    raises = logging.raiseExceptions
    stream = io.StringIO()
    configure_logs(stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.raiseExceptions = raises
    logging.captureWarnings(capture=False)
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line(log: io.StringIO) -> None:
    structlog.get_logger("app").info("decided", decision_id="d1", plan="cheap", cost_usd=0.1)
    (line,) = lines(log)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "decided",
        "level": "info",
        "decision_id": "d1",
        "plan": "cheap",
        "cost_usd": 0.1,
    }


def test_long_values_are_cut(log: io.StringIO) -> None:
    structlog.get_logger("app").info("e", field="x" * 10_000)
    assert len(lines(log)[0]["field"]) == MAX_VALUE_CHARS


def test_an_exception_is_named_but_not_quoted(log: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError("the prompt and the key")

    try:
        fail()
    except ValueError as error:
        structlog.get_logger("app").exception("broke")
        structlog.get_logger("app").error("broke", exc_info=error)
        logging.getLogger("some.library").exception("broke")
    assert [line["error"] for line in lines(log)] == ["ValueError"] * 3
    assert "the prompt" not in log.getvalue()
    assert "Traceback" not in log.getvalue()


def test_of_libraries_it_is_told_who_spoke_and_where(log: io.StringIO) -> None:
    logging.getLogger("some.library").warning("called with %s", "a prompt")
    (line,) = lines(log)
    assert (line["event"], line["level"]) == ("a library logged", "warning")
    assert line["logger"] == "some.library"
    assert line["at"].startswith("test_logs:")
    assert "prompt" not in log.getvalue()


def test_our_own_modules_are_quoted(log: io.StringIO) -> None:
    logging.getLogger("router.learning.learner").warning("snapshot %d is refused", 7)
    assert lines(log)[0]["event"] == "snapshot 7 is refused"


async def test_a_task_that_nobody_waits_for_does_not_say_what_its_exception_says(
    log: io.StringIO,
) -> None:
    async def fail() -> None:
        raise ValueError("the prompt and the key")

    task: asyncio.Task[None] | None = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
    (line,) = lines(log)
    assert (line["logger"], line["error"]) == ("asyncio", "ValueError")
    assert line["raised_at"].startswith(f"{__name__}:")
    assert "the prompt" not in log.getvalue()


def test_what_nobody_caught_is_one_line_without_its_text(log: io.StringIO) -> None:
    sys.excepthook(ValueError, ValueError("the prompt and the key"), None)
    (line,) = lines(log)
    assert (line["event"], line["error"], line["level"]) == ("uncaught", "ValueError", "critical")
    assert "the prompt" not in log.getvalue()


def test_neither_a_thread_nor_a_finaliser_quotes_its_exception(log: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError("the prompt and the key")

    class Ill:
        def __del__(self) -> None:
            fail()

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    ill = Ill()
    del ill
    gc.collect()
    assert [(line["event"], line["error"]) for line in lines(log)] == [
        ("uncaught", "ValueError"),
        ("uncaught", "ValueError"),
    ]
    assert "the prompt" not in log.getvalue()


def test_neither_warnings_nor_stacks_nor_lines_that_fail_are_quoted(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    warnings.showwarning("the prompt", UserWarning, "file", 1)
    logging.getLogger("some.library").warning("stacked", stack_info=True)
    logging.getLogger("some.library").warning("%d", "the prompt")
    told = lines(log)
    assert [line["logger"] for line in told][:2] == ["py.warnings", "some.library"]
    assert "the prompt" not in log.getvalue() + "".join(capsys.readouterr())
    assert "Stack" not in log.getvalue()


def test_http_clients_do_not_log_urls(log: io.StringIO) -> None:
    logging.getLogger("httpx").info("GET https://host/?key=secret")
    logging.getLogger("httpcore.http11").error("GET https://host/?key=secret")
    assert log.getvalue() == ""


def test_debug_is_silent_unless_asked_for(log: io.StringIO) -> None:
    structlog.get_logger("app").debug("noise")
    assert log.getvalue() == ""


def test_a_stranger_s_trace_headers_write_no_line(log: io.StringIO) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for state in ("=" * 8_000, "a=b," * 100, "k=\x7f"):
        TraceContextTextMapPropagator().extract({"traceparent": trace, "tracestate": state})
    TraceContextTextMapPropagator().extract({"traceparent": "0" * 8_000})
    assert not log.getvalue()


class _Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("the prompt and the key")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ([float("inf")], "list"),
        (10**5_000, "int"),
        ({("a", "b"): 1}, "dict"),
        (_Unprintable(), "_Unprintable"),
        ("a\udcff", "a\udcff"),
    ],
    ids=["nan", "inf", "nested", "huge", "keys", "repr", "surrogate"],
)
def test_what_json_can_not_hold_is_told_by_its_kind(
    log: io.StringIO, value: object, told: str
) -> None:
    structlog.get_logger("app").info("e", value=value, plan="cheap")
    logging.getLogger("app").warning("e", extra={"value": value})
    ours, theirs = (
        json.loads(line, parse_constant=pytest.fail) for line in log.getvalue().splitlines()
    )
    assert (ours["event"], ours["value"], ours["plan"]) == ("e", told, "cheap")
    assert theirs["event"] == "e"
