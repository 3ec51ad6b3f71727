"""Suite of `router.core.ports.Idempotency`."""

from __future__ import annotations

import asyncio

import pytest

from router.adapters.storage import Storage
from router.core.ports import Claim, ClaimState, Idempotency
from tests.contract.samples import eventually


@pytest.fixture
def once(storage: Storage) -> Idempotency:
    return storage.idempotency


async def test_one_of_many_callers_is_the_first(once: Idempotency) -> None:
    claims = await asyncio.gather(*(once.claim("acme", "k", "f", 60) for _ in range(50)))
    states = [claim.state for claim in claims]
    assert states.count(ClaimState.NEW) == 1
    assert states.count(ClaimState.RUNNING) == 49


async def test_what_is_done_is_handed_out_again(once: Idempotency) -> None:
    await once.claim("acme", "k", "f", 60)
    await once.finish("acme", "k", b"\x00answer", 60)
    assert await once.claim("acme", "k", "f", 60) == Claim(ClaimState.DONE, b"\x00answer")


async def test_another_request_under_the_same_key_is_a_conflict(once: Idempotency) -> None:
    await once.claim("acme", "k", "f", 60)
    assert await once.claim("acme", "k", "g", 60) == Claim(ClaimState.CONFLICT)
    await once.finish("acme", "k", b"answer", 60)
    assert await once.claim("acme", "k", "g", 60) == Claim(ClaimState.CONFLICT)


async def test_a_released_key_is_free_and_a_finished_one_is_not(once: Idempotency) -> None:
    await once.claim("acme", "k", "f", 60)
    await once.release("acme", "k")
    assert (await once.claim("acme", "k", "g", 60)).state is ClaimState.NEW
    await once.finish("acme", "k", b"answer", 60)
    await once.release("acme", "k")
    assert (await once.claim("acme", "k", "g", 60)).state is ClaimState.DONE


async def test_two_tenants_may_choose_the_same_key(once: Idempotency) -> None:
    await once.claim("acme", "k", "f", 60)
    assert (await once.claim("other", "k", "g", 60)).state is ClaimState.NEW


async def test_the_claim_of_a_crashed_caller_lapses(once: Idempotency) -> None:
    await once.claim("acme", "k", "f", 1)

    async def free() -> bool:
        return (await once.claim("acme", "k", "g", 60)).state is ClaimState.NEW

    assert not await free()
    await eventually(free)


async def test_finishing_outlives_the_running_claim(once: Idempotency) -> None:
    await once.claim("acme", "k", "f", 1)
    await once.finish("acme", "k", b"answer", 60)
    await asyncio.sleep(1.1)
    assert (await once.claim("acme", "k", "f", 60)).state is ClaimState.DONE
