"""Feedback on a decision that another router has yet to deliver, over one real store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from pathlib import Path

import pytest

from router.adapters.spool import FileSpool
from router.adapters.storage import EmbeddedRedis, Storage
from router.degraded.decisions import PENDING_MS, SKEW_MS
from router.degraded.delivery import SpoolDelivery
from router.degraded.stores import Stores
from router.domain import MS_PER_S
from router.domain.errors import DecisionNotFound, DecisionPending
from router.domain.records import FeedbackReport, OutcomeReport, new_decision_id
from tests.contract.samples import NOON_S, RECORD, FakeTime
from tests.router.degraded.conftest import back, built

GOOD = FeedbackReport(1.0)


@pytest.fixture
async def other(tmp_path: Path, storage: Storage, clock: FakeTime) -> AsyncIterator[Stores]:
    """What another router sees."""
    spool = FileSpool(tmp_path / "other")
    yield built(storage, spool, clock)
    await spool.close()


def asked_of(stores: Stores, decision_id: str, tenant: str = "acme") -> list[Awaitable[object]]:
    log, settled = stores.decisions, replace(RECORD, id=decision_id, tenant=tenant)
    return [
        log.feedback(tenant, decision_id, GOOD),
        log.get(tenant, decision_id),
        log.settle(settled, OutcomeReport(1.0, 1, 1)),
    ]


def id_at(now_s: float) -> str:
    return new_decision_id(int(now_s * MS_PER_S), 7)


async def test_it_is_retried_until_the_decision_is_delivered(
    stores: Stores, other: Stores, delivery: SpoolDelivery, server: EmbeddedRedis, storage: Storage
) -> None:
    made = replace(RECORD, id=id_at(NOON_S))
    await server.stop()
    await stores.decisions.record(made)
    await back(server, storage, stores)
    for call in asked_of(other, made.id):
        with pytest.raises(DecisionPending):
            await call
    await delivery.step()
    assert await other.decisions.feedback("acme", made.id, GOOD)
    for call in asked_of(other, made.id, "foreign"):
        with pytest.raises(DecisionNotFound):
            await call


async def test_an_id_that_is_wrong_or_old_is_told_at_once(other: Stores) -> None:
    old, ahead = -PENDING_MS / MS_PER_S, (SKEW_MS + 1) / MS_PER_S
    times = [id_at(NOON_S + old), id_at(NOON_S + ahead)]
    for decision_id in ("d-1", "b1946ac92492d2347c6235b4d2611184", "x" * 12 + "7" * 20, *times):
        for call in asked_of(other, decision_id):
            with pytest.raises(DecisionNotFound):
                await call
    with pytest.raises(DecisionPending):
        await other.decisions.feedback("acme", id_at(NOON_S), GOOD)
