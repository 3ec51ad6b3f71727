"""Ctrl-C: what is under way has been paid for, so it is waited for."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
GRACE_S = 20.0


async def until_told(
    work: Coroutine[Any, Any, list[T]], stop: asyncio.Event, say: Callable[[str], None]
) -> list[T]:
    """The result of `work`, which ends early once `stop` is set; [] when it was cut off.

    The first SIGINT or SIGTERM sets `stop`; the second, or the end of the grace, cuts off.
    """
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)

    def told() -> None:
        if stop.is_set():
            task.cancel()
            return
        stop.set()
        say(f"stopping: waiting up to {GRACE_S:.0f} s for answers under way; again to stop now")
        loop.call_later(GRACE_S, task.cancel)

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, told)
    try:
        return await task
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        return []
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
