"""A snapshot with a part of an earlier form: the rest is kept, the part is learned from the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit.errors import AbsurdSnapshot, VersionMismatch
from bandit.gates import Step
from bandit.snapshots.codec import pack, unpack
from router.adapters.storage import EmbeddedRedis, Storage
from router.app.learner import build_learner
from router.app.learner_state_factory import LearnerStateFactory
from router.app.process import opened_storage
from router.app.wiring import build_decider, build_follower
from router.config import Config, load_config
from router.config.values import catalog_of
from router.domain.records import FeedbackReport, Judged, StepTaken
from router.gates.signals import N_SIGNALS, SIGNALS_VERSION
from router.learning.learner import LearnerSettings
from router.ports.observer import Observer
from router.ports.state import StoredSnapshot
from router.runtime.loops import TaskSupervisor
from router.tools.train.run import replayed
from tests.contract.samples import ATTEMPT, CHOICE, RECORD
from tests.router.app.test_following import Watching, learned
from tests.router.tools.train.test_replay import contexts

MORE = """
plans: {cheap: [cheap], checked: {rungs: [cheap, reasoning]}}
policy: {promise: {max_bad_accept: 0.2, confidence: 0.9}}
learning: {max_tenant_share: 0.5, own_policies: [acme]}
"""
GATE = "gate.checked"


class Counting(Observer):
    """before: steps that ended before the first snapshot was published."""

    def __init__(self) -> None:
        self.published = asyncio.Event()
        self.before = 0

    def loop_finished(self, loop: str) -> None:
        del loop
        self.before += not self.published.is_set()

    def snapshot(self, version: int) -> None:
        del version
        self.published.set()


@pytest.fixture
async def opened(
    tmp_path: Path, write_config: Callable[[str], Path]
) -> AsyncIterator[tuple[Config, Storage]]:
    config = load_config(write_config(MORE), {})
    server = EmbeddedRedis(tmp_path / "redis", appendfsync="everysec")
    await server.start()
    async with opened_storage(config, {}) as storage:
        yield config, storage
    await server.stop()


async def write(storage: Storage, start: int, count: int) -> None:
    rng = np.random.default_rng(start)
    for n, context in enumerate(contexts(start + count)[start:], start):
        signals = tuple(rng.random(N_SIGNALS).tolist())
        step = StepTaken(Step.ACCEPT, 0.9, ((Step.ACCEPT, 0.9), (Step.ESCALATE, 0.1)), 0.6)
        shares = (("checked", 0.5), ("cheap", 0.5))
        record = replace(
            RECORD,
            id=f"d-{n}",
            choice=replace(CHOICE, plan="checked", probabilities=shares, context=context),
            attempts=(ATTEMPT,),
            judged=Judged("learned", SIGNALS_VERSION, signals, (step,), strong_usd=0.01),
        )
        await storage.decisions.record(replace(record, created_ms=int(1e12) * 4))
        await storage.decisions.feedback("acme", record.id, FeedbackReport(quality=float(n % 2)))


def changed(payload: bytes, part: str, meta: dict[str, Any]) -> bytes:
    """The snapshot with another manifest of one part, as an earlier version wrote it."""
    whole = unpack(payload)
    inner = unpack(whole.arrays[part].tobytes())
    other = np.frombuffer(pack(replace(inner, meta=inner.meta | meta)), np.uint8)
    return pack(replace(whole, arrays=whole.arrays | {part: other}))


def without(payload: bytes, *names: str) -> bytes:
    whole = unpack(payload)
    return pack(replace(whole, arrays={k: v for k, v in whole.arrays.items() if k not in names}))


async def put(storage: Storage, payload: bytes) -> StoredSnapshot:
    stored = await storage.snapshots.load()
    assert stored is not None
    await storage.client.call("DEL", "ar:lease")
    fence = await storage.lease.acquire("earlier version", 60_000)
    assert fence is not None
    put = replace(stored, version=stored.version + 1, payload=payload)
    assert await storage.snapshots.publish(put, fence)
    await storage.lease.release("earlier version")
    return put


@pytest.mark.parametrize(
    ("part", "meta"),
    [(GATE, {"signals": N_SIGNALS - 1}), (GATE, {"context_version": "earlier"})],
    ids=["another signal", "another map"],
)
async def test_a_gate_of_an_earlier_form_is_learned_again_and_nothing_else_is_lost(
    opened: tuple[Config, Storage],
    part: str,
    meta: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    config, storage = opened
    await write(storage, 0, 30)
    good = await learned(config, storage, Watching())
    factory = LearnerStateFactory(config, catalog_of(config))
    before = factory.restore(good.payload)
    earlier = await put(storage, changed(good.payload, part, meta))
    decider = build_decider(config, factory)
    follower = build_follower(factory, storage, decider, Watching())
    await follower.step()
    await follower.check()
    assert decider.version == earlier.version
    assert decider.policy.learned == before.policy.learned > 0
    assert decider.gates["checked"].learned == 0
    assert f"{part} of the snapshot begins anew: VersionMismatch" in caplog.messages
    await write(storage, 30, 5)
    caplog.set_level(logging.WARNING)
    stored = await learned(config, storage, Watching())
    assert stored.version > earlier.version
    assert factory.restore(stored.payload).gates["checked"].learned > 30
    assert (await replayed(config, {}, None, verify=True)).payload == stored.payload


async def test_a_promise_without_its_arrays_begins_anew_and_is_learned_again(
    opened: tuple[Config, Storage],
) -> None:
    config, storage = opened
    await write(storage, 0, 30)
    good = await learned(config, storage, Watching())
    factory = LearnerStateFactory(config, catalog_of(config))
    assert "promise.0.scores" in unpack(good.payload).arrays
    await put(storage, without(good.payload, "promise.0.scores"))
    assert (await replayed(config, {}, None, verify=False)).payload == good.payload
    state = factory.restore((await storage.snapshots.load() or good).payload)
    assert state.begun == ("promise.checked",)
    await write(storage, 30, 1)
    stored = await learned(config, storage, Watching())
    assert (await replayed(config, {}, None, verify=True)).payload == stored.payload


@pytest.mark.parametrize(
    "part", ["influence", "trust", "own.0"], ids=["tenant cap", "weights", "own policy"]
)
async def test_other_parts_begin_anew_alone(opened: tuple[Config, Storage], part: str) -> None:
    config, storage = opened
    await write(storage, 0, 30)
    good = await learned(config, storage, Watching())
    whole = unpack(good.payload)
    if part == "own.0":
        payload = changed(good.payload, part, {"context_version": "earlier"})
    else:
        payload = pack(replace(whole, meta=whole.meta | {part: {"of": "another form"}}))
    await put(storage, payload)
    state = LearnerStateFactory(config, catalog_of(config)).restore(payload)
    assert [name.partition(".")[0] for name in state.begun] == [part.replace("own.0", "owned")]
    assert state.policy.learned > 0
    await write(storage, 30, 1)
    stored = await learned(config, storage, Watching())
    assert (await replayed(config, {}, None, verify=True)).payload == stored.payload


async def test_rates_of_another_form_begin_anew_too(opened: tuple[Config, Storage]) -> None:
    config, storage = opened
    await write(storage, 0, 30)
    whole = unpack((await learned(config, storage, Watching())).payload)
    payload = pack(replace(whole, meta=whole.meta | {"rates": {"all": [1.0]}}))
    state = LearnerStateFactory(config, catalog_of(config)).restore(payload)
    assert state.begun == ("rates",)
    assert state.rates.is_blank
    assert state.policy.learned > 0


async def test_a_long_log_is_learned_again_in_many_steps(opened: tuple[Config, Storage]) -> None:
    config, storage = opened
    await write(storage, 0, 30)
    good = await learned(config, storage, Watching())
    await put(storage, changed(good.payload, GATE, {"signals": N_SIGNALS - 1}))
    observer = Counting()
    factory = LearnerStateFactory(config, catalog_of(config))
    made = build_learner(config, catalog_of(config), factory, storage, observer)
    loops = TaskSupervisor(observer)
    loops.start(replace(made, settings=LearnerSettings(max_batch=6)), "learner")
    async with asyncio.timeout(60):
        await observer.published.wait()
    await loops.end()
    assert observer.before >= 10


async def test_a_policy_of_an_earlier_form_is_refused_and_all_is_learned_anew(
    opened: tuple[Config, Storage],
) -> None:
    config, storage = opened
    await write(storage, 0, 10)
    good = await learned(config, storage, Watching())
    payload = changed(good.payload, "policy", {"context_version": "earlier"})
    with pytest.raises(VersionMismatch):
        LearnerStateFactory(config, catalog_of(config)).restore_to_serve(payload)
    await storage.client.call("DEL", "ar:snapshots", "ar:latest")
    await storage.client.call("HSET", "ar:snapshots", "1:position", good.position)
    await storage.client.call("HSET", "ar:snapshots", "1:payload", payload)
    await storage.client.call("SET", "ar:latest", 1)
    await storage.client.call("DEL", "ar:lease")
    await write(storage, 10, 1)
    stored = await learned(config, storage, Watching())
    assert (await replayed(config, {}, None, verify=True)).payload == stored.payload


async def test_a_gate_that_answers_absurdly_is_refused_still(
    opened: tuple[Config, Storage],
) -> None:
    config, storage = opened
    await write(storage, 0, 30)
    good = await learned(config, storage, Watching())
    whole = unpack(good.payload)
    inner = unpack(whole.arrays["policy"].tobytes())
    arrays = dict(inner.arrays)
    for name in ("quality.moment", "quality.square"):
        arrays[name] = arrays[name] * 1e6
    part = np.frombuffer(pack(replace(inner, arrays=arrays)), np.uint8)
    payload = pack(replace(whole, arrays=whole.arrays | {"policy": part}))
    with pytest.raises(AbsurdSnapshot):
        LearnerStateFactory(config, catalog_of(config)).restore(payload)
