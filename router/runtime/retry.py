"""Writes that must not be lost to a short absence of the storage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from router.domain.errors import StorageUnavailable

T = TypeVar("T")
PAUSES_S: Final = (0.05, 0.25, 1.0)


async def retry_write(write: Callable[[], Awaitable[T]]) -> T:
    """Try once and then again after each pause. The write is idempotent: a lost reply repeats it.

    Raises StorageUnavailable.
    """
    for pause_s in PAUSES_S:
        try:
            return await write()
        except StorageUnavailable:
            await asyncio.sleep(pause_s)
    return await write()
