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
from router.domain.errors import OutcomeConflict
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
    TurnFacts,
    session_digest,
)
from tests.contract.samples import ATTEMPT, CHOICE, RECORD, UNSETTLED

PACKED_BEFORE = (
    "c10103960ac248a5c292c4e4dc54f432a132f71af5ca844757ae5b18a8d5112e13ae08bb6a7c9f310ba54cd8c9"
    "63386b41e6125c6502d46c026502f3902d1326515626106ef7cc4e3c2057ee1d89522870a1160a22488582dd72"
    "d33f3cf3d471150a3d38db124b5252530b882dbc68ee4e629cb93cdf64f09459d8db390fdbac1c6ec46ec6596a"
    "ddf9dc5de7ef320bb9d4826a81955a57e605ddbed7a5479552abd3601fef5b8d5ebca596632a031a7030656048"
    "364617d5d0471781001753a0112a0baea9886e915c6bb13160c30a43ff0dbd73b71b58ad3bb264bb4aa162e7a6"
    "7a257b63852d530d24546fac0b33153448dd14a3a4aec7bec2537fed4239fd35c6a6eb8fc8a74a5b665a5e36e0"
    "315f6d5c6866a0b7cffaa15182e579937f563e96660687ad8ee8a73699eeb4a8b0dc60aa6e216fe5667dcda0c2"
    "da4f96cdaac62ac1608b599b95bf32bb658495b4c5794b7be328a3f3a6471853892c8655d35c5379ed0f3eb2b0"
    "eb0d4cb2e7b653b1afb92e687f76c501bbdd1997ec56da94da7d7d286d3be5880067786c51f995b003df5e48f1"
    "45f816b31d11386f1cc928f570fda2ab935c0b34e436dd3ba290f0357bc7d60ef7f882b483670b398fb2cf9a6c"
    "f722fc76a9fc27e5a2ac9b6cd3bf1f51f0fc7e4cfa0663f28a938bc3764dbc3e3f57e59d95c8eb2bc26d377ebd"
    "cf9b9753701f00"
)
DICTIONARY = "419d2a8c5fad2b9e6535a6c73fae8dc04465422e6bdbb565c5643d9ab40cce3f"
MOST_BYTES = 850
"""Of a decision that is no longer in the log; 3,572 as plain MessagePack in a hash."""
MOST_LOGGED_BYTES = 700
MOST_OF_A_TURN = 1_150
"""With the prices of its plans and its place in the conversation."""


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


def of_a_conversation(seed: int = 0) -> DecisionRecord:
    """The same in the third turn of a conversation, priced for this request."""
    rng, record = np.random.default_rng(seed), realistic(seed)
    choice = record.choice
    assert choice is not None
    plans = [plan for plan, _ in choice.probabilities]
    context = replace(
        choice.context, conversation=rounded(rng.random(8)), application=int(rng.integers(2**31))
    )
    prices = tuple((p, *(single(n) for n in (rng.random(3) * 0.01).tolist())) for p in plans)
    choice = replace(choice, context=context, prices=prices, turns_ahead=single(1.7))
    turn = TurnFacts(
        application=rng.bytes(8).hex(),
        number=3,
        input_bytes=23_456,
        warm=(("cheap-primary", 4_321), ("deep", 2_468)),
        spent_usd=rng.random() * 0.01,
        stay_usd=rng.random() * 0.01,
    )
    attempts = [replace(a, cached_tokens=4_096, input_usd=0.001) for a in record.attempts]
    assert record.judged is not None
    judged = replace(record.judged, strong_input_usd=0.0098)
    return replace(record, choice=choice, turn=turn, attempts=tuple(attempts), judged=judged)


RECORDS = {
    "conversation": of_a_conversation(),
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


async def test_a_turn_of_a_conversation_is_small_too(
    shared: Storage, bare: Redis, keys: Keys
) -> None:
    records = [of_a_conversation(seed) for seed in range(50)]
    for record in records:
        await shared.decisions.record(record)
    sizes = [await bare.memory_usage(keys.decision(r.id), samples=0) for r in records]
    assert np.mean(sizes) < MOST_OF_A_TURN


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


async def test_a_report_of_an_earlier_version_is_known_when_it_comes_again(
    shared: Storage, bare: Redis, keys: Keys
) -> None:
    """It was kept without counts of what was cached, written and thought."""
    await shared.decisions.record(replace(UNSETTLED, id="told"))
    report = OutcomeReport(1.0, 2, 3)
    kept = encode({"latency_ms": 1.0, "input_tokens": 2, "output_tokens": 3, "failure": ""})
    await bare.hset(keys.decision("told"), mapping={"settled": 1, "outcome": kept})
    settled = replace(UNSETTLED, id="told", settled=True)
    assert not await shared.decisions.settle(settled, report)
    with pytest.raises(OutcomeConflict):
        await shared.decisions.settle(settled, replace(report, cached_tokens=1))


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
