"""Runs one use of the store for a command, in a loop of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # brings numpy, for which `--help` need not wait
    from router.adapters.storage import Storage
    from router.config import Config

T = TypeVar("T")


def with_storage(
    config: Config, use: Callable[[Storage], Awaitable[T]], *, begun: bool = True
) -> T:
    """Open the store, use it and close it.

    begun: False also accepts a store without data, as the first tenant does.
    """
    from router.app.process import opened_storage  # noqa: PLC0415 - `--help` need not wait for its imports

    async def run() -> T:
        async with opened_storage(config, os.environ, begun=begun) as storage:
            return await use(storage)

    return asyncio.run(run())
