"""Decisions as they lie in the store: small, exact, and readable by later versions."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
from redis.asyncio import Redis

from bandit import ContextMap
from bandit.gates import Step
from router.adapters.storage import EmbeddedRedis, Storage, StorageSettings, open_storage
from router.adapters.storage.codec import PACKED, encode, pack_record, read_record
from router.adapters.storage.keys import Keys
from router.domain.catalog import Price
from router.domain.logged_context import rounded, single
from router.domain.records import (
    AttemptOutcome,
    CacheStatus,
    DecisionRecord,
    Judge,
    Judged,
    LoggedContext,
    Observation,
    OutcomeReport,
    StepTaken,
    session_digest,
)
from tests.contract.samples import ATTEMPT, CHOICE, RECORD, UNSETTLED

PACKED_BEFORE = (
    "c10143cbfb4b12937353d1737e65ee35eae5fc4757ae5b18a8d511cef957845d35becf988592f377f218ce5a90"
    "b90457ce879a4d20e7330fd99c4ff336ccecc40372e5de9128599f0b35eb8b20657dbbe5a67f78e6a9c3b23eee"
    "36cc9294d4d402628b24aabb8b18672dcf37193c2511f636cac3362b871bb19b719645773e77d7f9bbcc422e8b"
    "a05a6065d1957941b7ef75e951a52cea34d8c7fb56a3174b59e498ca80061c4c1918928dd14535f4d14520c0c5"
    "146884ca826b2aa25b24d75a6c0cd8b0c2d07f43efdced0656eb8e2cd9ae52a8d8b9a95ec9de5861cb540309d5"
    "1bebc24c050d5237c528a9ebb1aff0d45fbb504e7f8db1e9fa23f2a9d2969996970d78cc571b179a19e8edb37e"
    "68946079dee49f958fa599c161ab23faa94da63b2d2a2c3798aa5bc85bb9595f33a8b0f69365b3aab14a30d862"
    "d666e5afcc6e1961256d71ded2de38cae8bce911c654220b57d534d7545efb838f2cec7a0393ecb9ed54ec6bae"
    "0bda9f5d71c06e77c625bb9536a5765f1f4adb4e3922c0191e5b547e25ecc0b717527c11bec56c4704ce1b4732"
    "4a3d5cbfe8ea24d7020db94df78e28247ccddeb1b5c33dbe20ede0d942cea3ecb326dbbd08bf5d2aff49b928eb"
    "26dbf4ef47143cbf1f93bec198bce2e4e2b05d13afcfcf55796725f2fa8a70db8d5feff3e6e514dc0700"
)
DICTIONARY = "ac108714325da22bb23ea397b9bb96217d387844f6d2902313ef671311e4fd92"
MOST_BYTES = 850
"""Of a decision that is no longer in the log; 3,572 as plain MessagePack in a hash."""
MOST_LOGGED_BYTES = 700


def realistic(seed: int = 0) -> DecisionRecord:
    """A ladder that escalated, judged by a learned gate, in a session, with the cache on."""
    rng = np.random.default_rng(seed)
    membership = [0.0] * 28 + rng.dirichlet([1, 2, 3, 4]).tolist()
    context = LoggedContext(
        rounded(rng.permutation(membership)),
        rounded(rng.normal(size=32) / 6),
        rounded(rng.random(15)),
        ContextMap.default().version,
    )
    plans = ("cheap", "reasoning", "cheap-then-reasoning")
    shares = rng.dirichlet([3, 2, 4]).tolist()
    choice = replace(
        CHOICE,
        plan=plans[2],
        propensity=shares[2],
        probabilities=tuple(zip(plans, shares, strict=True)),
        policy="adaptive",
        context=context,
        expected=tuple((p, *(single(n) for n in rng.random(3).tolist())) for p in plans),
    )
    first = replace(
        ATTEMPT,
        deployment="cheap-primary",
        model="gpt-4o-mini",
        outcome=AttemptOutcome.ESCALATED,
        why="judged",
        latency_ms=rng.random() * 2_000,
        cost_usd=rng.random() * 1e-3,
    )
    second = replace(first, arm="reasoning", deployment="deep", outcome=AttemptOutcome.ACCEPTED)
    share = rng.random()
    step = StepTaken(
        Step.ESCALATE, share, ((Step.ACCEPT, 1 - share), (Step.ESCALATE, share)), rng.random()
    )
    return DecisionRecord(
        id=rng.bytes(16).hex(),
        tenant="acme",
        created_ms=RECORD.created_ms,
        mode=RECORD.mode,
        session_id=session_digest("acme", "s"),
        choice=choice,
        attempts=(first, second),
        arm="reasoning",
        deployment="deep",
        model="o4-mini",
        cache_exact=rng.bytes(32).hex(),
        cache_partition=rng.bytes(32).hex(),
        judged=Judged("learned", "1", rounded(rng.random(23)), (step,), strong_usd=0.0123),
    )


RECORDS = {
    "plain": RECORD,
    "unsettled": replace(UNSETTLED, price=Price(0.15, 0.6)),
    "cached": DecisionRecord("A-1", "acme", 1, RECORD.mode, cache=CacheStatus.SEMANTIC),
    "failed": replace(RECORD, attempts=(), choice=None),
    "realistic": realistic(),
    "observed": replace(
        RECORD, choice=replace(CHOICE, observed=Observation("cheap", (("cheap", 1.0),)))
    ),
    "wide": replace(
        RECORD,
        choice=replace(CHOICE, context=LoggedContext((1e300, -0.0), (1e10,), (0.1, 1e-310), "v")),
    ),
    "infinite": replace(
        RECORD, choice=replace(CHOICE, expected=(("cheap", math.inf, -math.inf, 1e-9),))
    ),
    "judged twice": replace(
        RECORD,
        judged=Judged(
            "agreement",
            "2",
            (0.1,),
            (StepTaken(Step.SECOND, 1.0, ((Step.SECOND, 1.0),), 0.5, Judge.PROMISE, Step.ACCEPT),),
            second_signals=(0.2, 70_000.5),
        ),
    ),
    "odd names": replace(
        RECORD, id="ABCD", session_id="ab c", cache_exact="é", cache_partition="0"
    ),
    "no vectors": replace(RECORD, choice=replace(CHOICE, context=LoggedContext((), (), (), ""))),
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())
def test_a_packed_record_comes_back_exactly(record: DecisionRecord) -> None:
    packed = pack_record(record)
    assert packed.startswith(PACKED)
    assert repr(read_record(packed, None)) == repr(record)
    assert read_record(packed, b"0.5") == replace(record, feedback=0.5)


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())
def test_a_record_of_an_earlier_version_is_read(record: DecisionRecord) -> None:
    assert read_record(encode(record), None) == record


def test_what_this_version_packed_stays_readable() -> None:
    """The dictionary is part of what is stored: another one is another version."""
    dictionary = files("router.adapters.storage").joinpath("record_1.dict").read_bytes()
    assert hashlib.sha256(dictionary).hexdigest() == DICTIONARY
    assert read_record(bytes.fromhex(PACKED_BEFORE), None) == realistic(7)


def test_packing_is_quick() -> None:
    record = realistic()
    packed = pack_record(record)
    assert best(lambda: read_record(packed, None)) < 300e-6
    assert best(lambda: pack_record(record)) < 1e-3


def best(work: object) -> float:
    """Seconds of the quickest of many runs, so that a busy machine fails nothing."""
    assert callable(work)
    times = []
    for _ in range(200):
        began_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - began_s)
    return min(times)


async def test_a_decision_is_small_in_the_store(shared: Storage, bare: Redis, keys: Keys) -> None:
    records = [realistic(seed) for seed in range(200)]
    for record in records:
        await shared.decisions.record(record)
    sizes = [await bare.memory_usage(keys.decision(r.id), samples=0) for r in records[:50]]
    assert np.mean(sizes) < MOST_BYTES
    assert await bare.object("ENCODING", keys.decision(records[0].id)) == b"listpack"
    log = await bare.memory_usage(keys.events, samples=0)
    assert log / len(records) < MOST_LOGGED_BYTES
    for record in records[:20]:
        assert await shared.decisions.get("acme", record.id) == record


async def test_a_settled_record_replaces_a_longer_one(
    shared: Storage, bare: Redis, keys: Keys
) -> None:
    long = replace(UNSETTLED, id="long", deployment="".join(map(chr, range(300, 1_300))))
    await shared.decisions.record(long)
    settled = replace(UNSETTLED, id="long", settled=True)
    assert await shared.decisions.settle(settled, OutcomeReport(1.0, 2, 3))
    assert await shared.decisions.get("acme", "long") == settled
    left = await bare.hkeys(keys.decision("long"))
    assert sum(name[:1] == b"r" and name[1:].isdigit() for name in left) <= 8


async def test_a_huge_record_is_kept_whole(shared: Storage, bare: Redis, keys: Keys) -> None:
    rng = np.random.default_rng(0)
    huge = replace(RECORD, id="huge", model=rng.bytes(4_000).hex())
    await shared.decisions.record(huge)
    assert await shared.decisions.get("acme", "huge") == huge
    assert await bare.hexists(keys.decision("huge"), "record")


async def test_a_decision_of_an_earlier_version_is_read_and_settled(
    shared: Storage, bare: Redis, keys: Keys
) -> None:
    before = replace(UNSETTLED, id="old")
    fields = {"tenant": "acme", "created_ms": before.created_ms, "choice": 1, "settled": 0}
    await bare.hset(keys.decision("old"), mapping={**fields, "record": encode(before)})
    assert await shared.decisions.get("acme", "old") == before
    settled = replace(before, settled=True)
    assert await shared.decisions.settle(settled, OutcomeReport(1.0, 2, 3))
    assert await shared.decisions.get("acme", "old") == settled
    assert await shared.events.records(["old"]) == [settled]
    assert not await bare.hexists(keys.decision("old"), "record")


async def test_a_decision_is_kept_longer_than_its_join_window(
    shared: Storage, redis_server: EmbeddedRedis, bare: Redis, keys: Keys
) -> None:
    settings = StorageSettings(
        url=f"unix://{redis_server.socket}", prefix=keys.prefix, retention_s=1, join_window_s=7_200
    )
    brief = await open_storage(settings)
    await brief.decisions.record(replace(RECORD, id="brief"))
    await shared.decisions.record(replace(RECORD, id="week"))
    assert 7_200 + 3_500 < await bare.ttl(keys.decision("brief")) <= 7_200 + 3_600
    assert await bare.ttl(keys.decision("week")) > 6 * 86_400
    await brief.close()
