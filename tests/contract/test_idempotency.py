"""Suite of `router.ports.state.Idempotency`."""

from __future__ import annotations

import asyncio
import time

import pytest

from router.adapters.storage import Storage
from router.degraded.claims import LocalIdempotency
from router.ports.state import Claim, ClaimKey, ClaimState, Idempotency
from tests.contract.samples import eventually

MINE, OTHERS = ClaimKey("acme", "k", "d-1"), ClaimKey("acme", "k", "d-2")


@pytest.fixture(params=["shared", "of one process"])
def once(request: pytest.FixtureRequest) -> Idempotency:
    if request.param == "shared":
        storage: Storage = request.getfixturevalue("storage")
        return storage.idempotency
    return LocalIdempotency(time.monotonic)


async def test_one_of_many_owners_is_the_first(once: Idempotency) -> None:
    keys = [ClaimKey("acme", "k", f"d-{n}") for n in range(50)]
    claims = await asyncio.gather(*(once.claim(key, "f", 60) for key in keys))
    states = [claim.state for claim in claims]
    assert states.count(ClaimState.NEW) == 1
    assert states.count(ClaimState.RUNNING) == 49


async def test_an_owner_that_heard_nothing_may_ask_again(once: Idempotency) -> None:
    for _ in range(2):
        assert await once.claim(MINE, "f", 60) == Claim(ClaimState.NEW)
    assert await once.claim(OTHERS, "f", 60) == Claim(ClaimState.RUNNING)


async def test_what_is_done_is_handed_out_again(once: Idempotency) -> None:
    await once.claim(MINE, "f", 60)
    await once.finish(MINE, b"\x00answer", 60)
    for key in (MINE, OTHERS):
        assert await once.claim(key, "f", 60) == Claim(ClaimState.DONE, b"\x00answer")


async def test_another_request_under_the_same_key_is_a_conflict(once: Idempotency) -> None:
    await once.claim(MINE, "f", 60)
    assert await once.claim(OTHERS, "g", 60) == Claim(ClaimState.CONFLICT)
    await once.finish(MINE, b"answer", 60)
    assert await once.claim(OTHERS, "g", 60) == Claim(ClaimState.CONFLICT)


async def test_a_released_key_is_free_and_a_finished_one_is_not(once: Idempotency) -> None:
    await once.claim(MINE, "f", 60)
    await once.release(MINE)
    assert (await once.claim(OTHERS, "g", 60)).state is ClaimState.NEW
    await once.finish(OTHERS, b"answer", 60)
    await once.release(OTHERS)
    assert (await once.claim(MINE, "g", 60)).state is ClaimState.DONE


async def test_only_its_owner_ends_a_claim(once: Idempotency) -> None:
    await once.claim(MINE, "f", 60)
    await once.release(OTHERS)
    await once.finish(OTHERS, b"of another", 60)
    assert (await once.claim(OTHERS, "f", 60)).state is ClaimState.RUNNING
    await once.finish(MINE, b"mine", 60)
    assert await once.claim(OTHERS, "f", 60) == Claim(ClaimState.DONE, b"mine")


async def test_two_tenants_may_choose_the_same_key(once: Idempotency) -> None:
    await once.claim(MINE, "f", 60)
    assert (await once.claim(ClaimKey("other", "k", "d-2"), "g", 60)).state is ClaimState.NEW


async def test_the_claim_of_a_crashed_owner_lapses(once: Idempotency) -> None:
    await once.claim(MINE, "f", 1)

    async def free() -> bool:
        return (await once.claim(OTHERS, "g", 60)).state is ClaimState.NEW

    assert not await free()
    await eventually(free)
    await once.finish(MINE, b"late", 60)
    assert (await once.claim(OTHERS, "g", 60)).state is ClaimState.NEW


async def test_finishing_outlives_the_running_claim(once: Idempotency) -> None:
    await once.claim(MINE, "f", 1)
    await once.finish(MINE, b"answer", 60)
    await asyncio.sleep(1.1)
    assert (await once.claim(OTHERS, "f", 60)).state is ClaimState.DONE
