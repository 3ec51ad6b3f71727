"""A server on a real channel, for each test anew."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.router.rpc.wire import Wire, served


@pytest_asyncio.fixture
async def wire() -> AsyncIterator[Wire]:
    async with served() as made:
        yield made
