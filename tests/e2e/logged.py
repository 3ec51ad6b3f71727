"""The log as a process writes it, for the time of a test."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import structlog

from router.observe.logs import configure_logs


@contextmanager
def logged() -> Iterator[StringIO]:
    """Everything is as it was at the end: later tests read what structlog prints by default."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in ("httpx", "httpcore")}
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    raises = logging.raiseExceptions
    stream = StringIO()
    configure_logs(stream)
    try:
        yield stream
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
        logging.raiseExceptions = raises
        logging.captureWarnings(capture=False)
        for name, before in quiet.items():
            logging.getLogger(name).setLevel(before)
