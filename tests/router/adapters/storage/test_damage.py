"""The store may hold damaged data or data of another version; that stalls nobody."""

from __future__ import annotations

import logging
import zlib
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from router.adapters.storage import Storage
from router.adapters.storage.codec import PACKED, encode, pack_record
from router.adapters.storage.keys import Keys
from router.domain.errors import StorageCorrupt
from router.domain.events import Decided
from router.domain.records import CacheKey, SessionTurn
from router.domain.tenancy import KeyFacts
from router.domain.tenants import Tenant, hash_key
from tests.contract.samples import RECORD, cached

KEY = CacheKey("acme", "e", "p")
WHOLE = pack_record(RECORD)
DAMAGED = [b"", b"\xc1", b"secret", encode(RECORD)[:-3], encode({"id": 3})]
DAMAGED += [PACKED, WHOLE[:-3], WHOLE + b"x", PACKED + b"secret", PACKED + zlib.compress(b"x")]
DAMAGED += [b"\xc1\x02" + WHOLE[2:], WHOLE[:20] + b"\xff\xff" + WHOLE[22:]]


@pytest.mark.parametrize("damage", DAMAGED)
async def test_a_damaged_decision_is_said_to_be_one(
    shared: Storage, bare: Redis, keys: Keys, damage: bytes
) -> None:
    await shared.decisions.record(RECORD)
    await bare.hset(keys.decision(RECORD.id), "record", damage)
    with pytest.raises(StorageCorrupt) as caught:
        await shared.decisions.get("acme", RECORD.id)
    assert "secret" not in str(caught.value)
    assert await shared.events.records([RECORD.id]) == [None]


async def test_a_damaged_answer_is_a_miss_and_can_be_replaced(
    shared: Storage, bare: Redis, keys: Keys
) -> None:
    await bare.set(keys.answer("e"), b"damage")
    assert await shared.cache.get(KEY) is None
    await shared.cache.put(KEY, None, cached(), 60)
    assert await shared.cache.get(KEY) == cached()


async def test_a_damaged_turn_is_no_turn(shared: Storage, bare: Redis, keys: Keys) -> None:
    await bare.set(keys.session("acme", "s"), b"damage")
    assert await shared.sessions.swap("acme", "s", SessionTurn("d", 1, b""), 60) is None


async def test_damaged_facts_of_a_key_let_nobody_in_and_it_can_be_revoked(
    shared: Storage, bare: Redis, keys: Keys
) -> None:
    tenants, key_hash = shared.tenants, hash_key("k")
    await tenants.create(Tenant("acme"), key_hash, KeyFacts("last", 1, 2**50))
    await bare.hset(keys.key_facts, key_hash, b"damage")
    with pytest.raises(StorageCorrupt):
        await tenants.find(key_hash)
    assert [key.facts for key in await tenants.keys("acme")] == [KeyFacts()]
    assert list(await tenants.every_key()) == ["acme"]
    assert (await tenants.revoke_key("acme", key_hash[:8])).hash == key_hash
    assert await tenants.find(key_hash) is None
    assert not await bare.hexists(keys.key_facts, key_hash)


async def test_damaged_limits_let_nobody_in(shared: Storage, bare: Redis, keys: Keys) -> None:
    await shared.tenants.create(Tenant("acme"), hash_key("k"))
    await bare.hset(keys.tenants, "acme", b"damage")
    with pytest.raises(StorageCorrupt):
        await shared.tenants.find(hash_key("k"))


async def add_damaged(bare: Redis, keys: Keys, count: int) -> None:
    for n in range(count):
        fields = [
            {"kind": "decided", "body": b"secret"},
            {"kind": "other", "body": b""},
            {"x": "y"},
        ]
        await bare.xadd(keys.events, fields[n % 3], id="0-*")


async def test_damaged_events_are_passed_over(
    shared: Storage, bare: Redis, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    await add_damaged(bare, keys, 2)
    await shared.decisions.record(RECORD)
    await add_damaged(bare, keys, 3)
    batch = await shared.events.read("0", 10, 0)
    assert [event for _, event in batch] == [Decided(RECORD)]
    assert sum(r.levelno == logging.WARNING for r in caplog.records) == 5
    assert "secret" not in caplog.text


async def test_a_batch_of_nothing_but_damage_is_read_past(
    shared: Storage, bare: Redis, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    await add_damaged(bare, keys, 7)
    await shared.decisions.record(RECORD)
    later = replace(RECORD, id="d-2")
    await shared.decisions.record(later)
    first = await shared.events.read("0", 2, 0)
    assert [event for _, event in first] == [Decided(RECORD)]
    second = await shared.events.read(first[-1][0], 2, 0)
    assert [event for _, event in second] == [Decided(later)]
    caplog.clear()
    await add_damaged(bare, keys, 4)
    assert await shared.events.read(second[-1][0], 2, 0) == []
    assert await shared.events.read(second[-1][0], 2, 0) == []
    assert len(caplog.records) == 4
