"""Suite of `router.ports.state.Sessions`."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from router.adapters.storage import Storage
from router.domain.records import SessionTurn
from router.ports.state import Sessions

EMBEDDING = np.arange(384, dtype=np.float32).tobytes()
FIRST, SECOND = SessionTurn("d-1", 1, EMBEDDING), SessionTurn("d-2", 2, EMBEDDING)


@pytest.fixture
def sessions(storage: Storage) -> Sessions:
    return storage.sessions


async def test_each_turn_returns_the_one_before(sessions: Sessions) -> None:
    assert await sessions.swap("acme", "s", FIRST, 60) is None
    assert await sessions.swap("acme", "s", SECOND, 60) == FIRST
    assert await sessions.swap("acme", "s", FIRST, 60) == SECOND


async def test_sessions_of_two_tenants_are_two_sessions(sessions: Sessions) -> None:
    await sessions.swap("acme", "s", FIRST, 60)
    assert await sessions.swap("other", "s", FIRST, 60) is None
    assert await sessions.swap("acme", "another", FIRST, 60) is None


async def test_a_session_is_forgotten(sessions: Sessions) -> None:
    await sessions.swap("acme", "s", FIRST, 1)
    await asyncio.sleep(1.1)
    assert await sessions.swap("acme", "s", SECOND, 60) is None
