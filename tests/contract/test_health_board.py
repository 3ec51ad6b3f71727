"""Suite of `router.ports.state.HealthBoard`: three failures open for 200 ms, one second at most.

A Retry-After is granted for two seconds at most.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from router.adapters.storage import Storage
from router.degraded.breakers import LocalHealthBoard
from router.ports.state import Health, HealthBoard
from tests.contract.samples import HEALTH, eventually


@pytest.fixture(params=["shared", "of one process"])
def board(request: pytest.FixtureRequest) -> HealthBoard:
    if request.param == "shared":
        storage: Storage = request.getfixturevalue("storage")
        return storage.health
    return LocalHealthBoard(HEALTH, time.monotonic)


async def state(board: HealthBoard, name: str = "d") -> Health:
    return (await board.states([name]))[name]


async def open_it(board: HealthBoard, times: int = 3) -> None:
    for _ in range(times):
        await board.failed("d")


async def half_open(board: HealthBoard) -> None:
    async def is_half_open() -> bool:
        return await state(board) is Health.HALF_OPEN

    await eventually(is_half_open)


async def test_an_unknown_deployment_is_closed_and_admits(board: HealthBoard) -> None:
    assert await board.states(["a", "b"]) == {"a": Health.CLOSED, "b": Health.CLOSED}
    assert await board.admit("a")


async def test_failures_in_a_row_open_it(board: HealthBoard) -> None:
    await open_it(board, 2)
    assert await state(board) is Health.CLOSED
    await board.failed("d")
    assert await state(board) is Health.OPEN
    assert not await board.admit("d")
    assert await state(board, "another") is Health.CLOSED


async def test_a_success_in_between_starts_the_count_anew(board: HealthBoard) -> None:
    await open_it(board, 2)
    await board.succeeded("d")
    await open_it(board, 2)
    assert await state(board) is Health.CLOSED


async def test_half_open_admits_one_probe_of_fifty(board: HealthBoard) -> None:
    await open_it(board)
    await half_open(board)
    admitted = await asyncio.gather(*(board.admit("d") for _ in range(50)))
    assert sum(admitted) == 1
    assert await state(board) is Health.OPEN


async def test_a_probe_that_never_reports_frees_its_place(board: HealthBoard) -> None:
    await open_it(board)
    await half_open(board)
    assert await board.admit("d")
    await half_open(board)
    assert await board.admit("d")


async def test_a_good_probe_closes(board: HealthBoard) -> None:
    await open_it(board)
    await half_open(board)
    assert await board.admit("d")
    await board.succeeded("d")
    assert await state(board) is Health.CLOSED
    await open_it(board, 2)
    assert await state(board) is Health.CLOSED


async def test_a_bad_probe_opens_again_at_once_and_for_longer(board: HealthBoard) -> None:
    loop = asyncio.get_running_loop()
    await open_it(board)
    await half_open(board)
    assert await board.admit("d")
    began_s = loop.time()
    await board.failed("d")
    assert not await board.admit("d")
    await half_open(board)
    assert loop.time() - began_s >= 0.39


async def test_retry_after_opens_at_once_for_at_least_that_long(board: HealthBoard) -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await board.failed("d", 500)
    assert await state(board) is Health.OPEN
    await half_open(board)
    assert loop.time() - began_s >= 0.49


async def test_an_endless_retry_after_is_capped_beyond_the_longest_cooldown(
    board: HealthBoard,
) -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await board.failed("d", 86_400_000)
    await half_open(board)
    assert loop.time() - began_s >= 1.99


async def test_a_probe_given_back_is_free_for_the_next_caller(board: HealthBoard) -> None:
    await open_it(board)
    await half_open(board)
    assert await board.admit("d")
    assert not await board.admit("d")
    await board.give_back("d")
    assert await state(board) is Health.HALF_OPEN
    assert await board.admit("d")


async def test_giving_back_changes_nothing_where_nothing_was_probed(board: HealthBoard) -> None:
    await board.give_back("d")
    assert await state(board) is Health.CLOSED
    await open_it(board)
    await board.give_back("d")
    assert await state(board) is Health.OPEN


async def test_a_late_success_does_not_close_what_was_told_to_wait(board: HealthBoard) -> None:
    await board.failed("d", 500)
    await board.succeeded("d")
    assert await state(board) is Health.OPEN
