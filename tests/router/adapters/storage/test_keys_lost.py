"""A store of which one key is gone: every method answers, or refuses with an error of ours."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
import pytest
from redis.asyncio import Redis

from router.adapters.storage import Storage
from router.adapters.storage.keys import Keys
from router.domain.errors import RouterError, StorageCorrupt, StorageUnavailable
from router.domain.events import Audited, Move, PolicyChanged, PolicyCommand
from router.domain.events import Mover as By
from router.domain.records import CacheKey, FeedbackReport, OutcomeReport, SessionTurn
from router.domain.tenants import Reservation, Tenant, TenantLimits, hash_key
from router.ports.observer import Observer
from router.ports.state import ClaimKey, StoredSnapshot
from router.ports.survey import EmbeddingSample, PromptSample, Sighting
from router.runtime.background import Background
from router.serving.admission import Admission, AdmissionSettings
from router.serving.leases import Held
from tests.contract.samples import RECORD, UNSETTLED, cached

LIMITS = TenantLimits(10, 1_000, 5.0, 50.0)
ACME = Tenant("acme", LIMITS)
KEY = CacheKey("acme", "e", "p")
CLAIM = ClaimKey("acme", "once", "me")
VECTOR = np.full(384, 384**-0.5, dtype=np.float32)
RESERVED = Reservation("r-1", "acme", 10, 0.01)
TURN = SessionTurn("d-1", 1, VECTOR.tobytes())

Call = Callable[[Storage], Awaitable[object]]


async def _listed(storage: Storage) -> object:
    return [record async for record in storage.kept.each(100)]


async def _published(storage: Storage) -> object:
    fence = await storage.lease.acquire("me", 60_000) or 0
    version = await storage.snapshots.latest_version() + 1
    return await storage.snapshots.publish(StoredSnapshot(version, "0-1", b"x"), fence)


async def _changed(storage: Storage) -> object:
    fence = await storage.lease.acquire("me", 60_000) or 0
    change = PolicyChanged("0-1", Move.PROMOTED, By.HAND, "policy", "other")
    return await storage.policies.changed(change, fence)


async def _renewed(storage: Storage) -> object:
    return await storage.events.renew("0-1", await storage.lease.acquire("me", 60_000) or 0)


NOW = replace(RECORD, created_ms=int(time.time() * 1_000))
SETTLED = replace(UNSETTLED, id="d-2", settled=True)
TOLD = FeedbackReport(quality=0.5, correction=True)
CALLS: dict[str, Call] = {
    "create": lambda s: s.tenants.create(ACME, hash_key("k")),
    "find": lambda s: s.tenants.find(hash_key("k")),
    "show": lambda s: s.tenants.show("acme"),
    "list": lambda s: s.tenants.list(),
    "limit": lambda s: s.tenants.limit("acme", LIMITS),
    "reserve": lambda s: s.quota.reserve(ACME, RESERVED),
    "settle quota": lambda s: s.quota.settle(RESERVED, 5, 0.001),
    "claim": lambda s: s.idempotency.claim(CLAIM, "f", 60),
    "finish": lambda s: s.idempotency.finish(CLAIM, b"done", 60),
    "release": lambda s: s.idempotency.release(CLAIM),
    "put": lambda s: s.cache.put(KEY, VECTOR, cached(), 60),
    "get": lambda s: s.cache.get(KEY),
    "similar": lambda s: s.cache.similar(KEY, VECTOR, 0.9),
    "record": lambda s: s.decisions.record(NOW),
    "record decide": lambda s: s.decisions.record(replace(UNSETTLED, id="d-2")),
    "settle": lambda s: s.decisions.settle(SETTLED, OutcomeReport(1, 2, 3)),
    "feedback": lambda s: s.decisions.feedback("acme", RECORD.id, FeedbackReport(quality=0.5)),
    "session feedback": lambda s: s.decisions.session_feedback("acme", RECORD.session_id, TOLD),
    "reasked": lambda s: s.decisions.reasked("d-2", 0.9, 0.5),
    "audited": lambda s: s.decisions.audited(Audited(RECORD.id, 1.0, 0.5)),
    "decision": lambda s: s.decisions.get("acme", RECORD.id),
    "room": lambda s: s.decisions.has_room(),
    "kept": _listed,
    "read": lambda s: s.events.read("0", 100, 0),
    "records": lambda s: s.events.records([RECORD.id, "d-2"]),
    "position": lambda s: s.events.position_of(RECORD.id),
    "end": lambda s: s.events.end(),
    "backlog": lambda s: s.events.backlog("0-1"),
    "marks": lambda s: s.events.marks(["0", "0-1", "0-900"]),
    "command": lambda s: s.policies.command(PolicyCommand(Move.ROLLED_BACK)),
    "changed": _changed,
    "changes": lambda s: s.policies.changes(),
    "publish": _published,
    "load": lambda s: s.snapshots.load(),
    "load one": lambda s: s.snapshots.load(1),
    "latest": lambda s: s.snapshots.latest(),
    "positions": lambda s: s.snapshots.positions(),
    "trim": lambda s: s.events.trim("0-1"),
    "renew": _renewed,
    "defaults": lambda s: s.defaults.tell(10),
    "session": lambda s: s.sessions.swap("acme", "s", TURN, 60),
    "failed": lambda s: s.health.failed("d1", 10_000),
    "admit": lambda s: s.health.admit("d1"),
    "states": lambda s: s.health.states(["d1"]),
    "succeeded": lambda s: s.health.succeeded("d1"),
    "count": lambda s: s.survey.count(Sighting("v", 1, 2, ("word", "other"))),
    "terms": lambda s: s.survey.terms("v", 4),
    "sample": lambda s: s.survey.keep_embedding(EmbeddingSample.of("v", VECTOR, [0.1]), 9, 0.5),
    "samples": lambda s: s.survey.embeddings(),
    "prompt": lambda s: s.survey.keep_prompt(PromptSample("v", 1, "head"), 9, 0.5),
    "prompts": lambda s: s.survey.prompts(),
    "rotate": lambda s: s.tenants.rotate("acme", hash_key("k")),
    "revoke": lambda s: s.tenants.revoke("gone"),
    "evict": lambda s: s.cache.evict("e", "p"),
}
LEAST_KEYS = 20


async def fill(storage: Storage) -> None:
    for name, call in CALLS.items():
        if name not in {"revoke", "release", "evict"}:
            await call(storage)
    await storage.tenants.create(Tenant("gone"), hash_key("g"))


async def test_every_method_copes_with_any_key_missing(
    shared: Storage, bare: Redis, keys: Keys
) -> None:
    await fill(shared)
    names = sorted([name async for name in bare.scan_iter(f"{keys.prefix}*")])
    assert len(names) >= LEAST_KEYS
    whole = {name: await bare.dump(name) for name in names}
    for missing in names:
        for name, call in CALLS.items():
            back = bare.pipeline().delete(*names)
            for kept, value in whole.items():
                if kept != missing:
                    back.restore(kept, 0, value)
            await back.execute()
            await answers(shared, call, f"{name} without {missing.decode()[33:]}")


async def answers(storage: Storage, call: Call, case: str) -> None:
    try:
        await call(storage)
    except (StorageCorrupt, StorageUnavailable) as error:
        pytest.fail(f"{case}: {type(error).__name__}")
    except RouterError:
        return


def door(shared: Storage) -> Admission:
    return Admission(
        tenants=shared.tenants,
        quota=shared.quota,
        held=Held(),
        background=Background(Observer()),
        clock=lambda: 0.0,
        settings=AdmissionSettings(required=True),
    )


@pytest.mark.parametrize("lost", ["tenants", "key_owners"])
async def test_a_key_whose_tenant_is_gone_is_nobodys(
    shared: Storage, bare: Redis, keys: Keys, lost: str
) -> None:
    await shared.tenants.create(ACME, hash_key("k"))
    assert await door(shared).authenticate("k") == ACME
    await bare.delete(getattr(keys, lost))
    with pytest.raises(RouterError) as refused:
        await door(shared).authenticate("k")
    assert refused.value.reason == "UNAUTHENTICATED"


async def test_no_earlier_key_works_for_a_tenant_made_again(
    shared: Storage, bare: Redis, keys: Keys
) -> None:
    await shared.tenants.create(ACME, hash_key("before"))
    await bare.delete(keys.tenants, keys.current_keys)
    await shared.tenants.create(ACME, hash_key("after"))
    assert await shared.tenants.find(hash_key("before")) is None
    assert await shared.tenants.find(hash_key("after")) == ACME


async def test_a_key_stops_though_nobody_knows_that_it_is_the_current_one(
    shared: Storage, bare: Redis, keys: Keys
) -> None:
    await shared.tenants.create(ACME, hash_key("k"))
    await bare.delete(keys.current_keys)
    await shared.tenants.revoke("acme")
    assert await shared.tenants.find(hash_key("k")) is None
