"""Says whether and when a call is sent again, within its deadline. No I/O."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from adaptive_router_client.errors import DeadlineExceeded, Details, QuotaExceeded, RouterError


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a call is sent at most, and the waits where the router names none.

    calls: 1 for never again. Being told that the call is under way already does not count.
    A named wait is kept, with up to `jitter` of it on top. A wait that would pass the call's
    deadline is not begun: the error is raised at once.
    """

    calls: int = 5
    first_wait_s: float = 0.5
    most_wait_s: float = 5.0
    jitter: float = 0.2

    def wait_s(self, error: RouterError, sent: int, chance: float) -> float:
        """Returns the wait after so many calls; chance: in [0, 1)."""
        if error.retry_after_s is not None:
            return error.retry_after_s * (1 + self.jitter * chance)
        longest_s = min(self.most_wait_s, self.first_wait_s * 2.0 ** max(0, sent - 1))
        return longest_s * (1 + chance) / 2


NEVER = Retry(calls=1)


@dataclass(slots=True)
class Patience:
    """The deadline of one call over all times that it is sent.

    repeatable: sent twice it is done once.
    """

    retry: Retry
    ends_s: float
    clock: Callable[[], float]
    repeatable: bool
    chance: Callable[[], float] = random.random
    sent: int = 0

    def begin(self) -> float:
        """Returns the time that is left for sending it; raises DeadlineExceeded."""
        left_s = self.ends_s - self.clock()
        if left_s <= 0:
            details = Details(DeadlineExceeded.REASON, DeadlineExceeded.REASON)
            raise DeadlineExceeded("the deadline of the call passed", details)
        self.sent += 1
        return left_s

    def wait_s(self, error: RouterError) -> float:
        """Returns how long to wait before it is sent again; raises the error where it is not."""
        if not self._may_repeat(error):
            raise error
        wait_s = self.retry.wait_s(error, self.sent, self.chance())
        if wait_s >= self.ends_s - self.clock():
            raise error
        return wait_s

    def _may_repeat(self, error: RouterError) -> bool:
        if not error.PASSES or self._is_used_up(error):
            return False
        # A limit that no waiting lifts comes without a time.
        if isinstance(error, QuotaExceeded) and error.retry_after_s is None:
            return False
        return self.repeatable or error.UNPAID

    def _is_used_up(self, error: RouterError) -> bool:
        if error.UNDER_WAY and self.retry.calls > 1:
            self.sent -= 1  # it was told to wait, not refused
        return self.sent >= self.retry.calls
