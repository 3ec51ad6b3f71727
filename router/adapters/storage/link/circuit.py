"""What is known of a store that does not serve, so that calls are refused at once."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Final

from router.adapters.storage.link.failures import ADVICE, FailureKind

FAILURES: Final = 3
FAILING_S: Final = 0.5
"""Failures in a row, for as long, open the circuit; a blip that is shorter is waited out."""
PROBED_S: Final = 2.0
"""After the last probe as long, besides a call's time, nobody is taken to probe any more."""
_log = logging.getLogger(__name__)


class Circuit:
    """kind: why it is open; None while it is closed. failures: in a row.

    It refuses calls while somebody probes the store; else every call finds out by itself. Where
    nothing answered, which is found out at once, one call at a time may try.
    """

    def __init__(self, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.kind: FailureKind | None = None
        self.failures = 0
        self._clock = clock
        self._since_s = 0.0
        self._window_s = PROBED_S + timeout_s
        self._probed_s = -math.inf
        self._is_tried = False

    def failed(self, kind: FailureKind, took_s: float = 0.0) -> None:
        """Count a connection that failed, or a reply that the store can't serve now.

        took_s: how long nothing was heard.
        """
        now_s = self._clock()
        if self.failures == 0:
            self._since_s = now_s - took_s
        self.failures += 1
        if self.failures >= FAILURES and now_s - self._since_s >= FAILING_S:
            self.open(kind)

    def open(self, kind: FailureKind, detail: str = "") -> None:
        """detail: the command that is denied."""
        if kind is not self.kind:
            told = f"{ADVICE[kind]} ({detail})" if detail else ADVICE[kind]
            _log.warning("the storage does not serve: %s: %s", kind.value, told)
        self.kind = kind
        self._is_tried = False

    def close(self) -> None:
        if self.kind is not None:
            _log.warning("the storage serves again")
        self.kind = None
        self.failures = 0
        self._is_tried = False

    def probed(self) -> None:
        self._probed_s = self._clock()

    def admits(self) -> bool:
        """Returns whether a call may try, though the circuit is open."""
        if self._clock() - self._probed_s >= self._window_s:
            return True
        if self.kind is not FailureKind.AWAY or self._is_tried:
            return False
        self._is_tried = True
        return True
