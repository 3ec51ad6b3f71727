"""Idempotency keys when something goes wrong around them."""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis

from router.adapters.storage import EmbeddedRedis
from router.domain.chat import Answer
from router.domain.errors import IdempotencyRunning
from router.domain.tenants import LEASE_S
from tests.blips import miss_first_tries
from tests.router.serving.conftest import ANSWER, TENANT, Core, asked


async def test_complete_answers_when_the_completion_cannot_be_kept(core: Core) -> None:
    """The store refuses the last write only: the claim is no hash any more."""

    async def spoil() -> Answer:
        await core.storage.client.call("SET", core.keys.idempotency(TENANT.name, "k"), "spoilt")
        return ANSWER

    core.provider.reply = spoil
    done = await core.service.complete(asked("k"))
    assert done.answer == ANSWER
    assert core.degraded("idempotency") == 1
    assert [record.id for record in await core.records()] == [done.record.id]


async def test_completion_is_kept_when_storage_is_away_for_a_moment(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    miss_first_tries(monkeypatch, core.storage.idempotency, "finish")
    done = await core.service.complete(asked("k"))
    again = await core.service.complete(asked("k"))
    assert again.record.id == done.record.id
    assert not core.degraded("idempotency")


async def test_retry_is_answered_when_the_caller_left_while_claiming(
    core: Core, redis_server: EmbeddedRedis
) -> None:
    with Redis(unix_socket_path=redis_server.socket) as other:
        other.client_pause(30_000, all=False)
        try:
            claiming = asyncio.create_task(core.service.complete(asked("k")))
            while all(client["cmd"] != "evalsha" for client in other.client_list()):
                await asyncio.sleep(0.005)
            claiming.cancel()
            await asyncio.wait({claiming})
        finally:
            other.client_unpause()
        await core.background.drain()
        assert not other.exists(core.keys.idempotency(TENANT.name, "k"))
    assert (await core.service.complete(asked("k"))).answer == ANSWER


async def test_claim_is_a_short_lease_that_the_router_renews(core: Core) -> None:
    key, left_s = core.keys.idempotency(TENANT.name, "k"), []

    async def look() -> Answer:
        await core.storage.client.call("EXPIRE", key, 5)
        await core.keeper.step()
        left_s.append(await core.storage.client.call("TTL", key))
        with pytest.raises(IdempotencyRunning):
            await core.service.complete(asked("k"))
        return ANSWER

    core.provider.reply = look
    await core.service.complete(asked("k"))
    assert LEASE_S - 10 <= left_s[0] <= LEASE_S
    assert not core.held.claims
    assert not core.held.reservations
