"""Callers that call the model themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from adaptive_router.v1 import router_pb2

from router.domain.tenants import Tenant, TenantLimits
from tests.e2e.conftest import Router, chat
from tests.e2e.details import reason
from tests.e2e.wire import Wire, on_uvloop, routed, whole


def asked(text: str) -> router_pb2.DecideRequest:
    return router_pb2.DecideRequest(chat=chat(text))


def outcome(decision_id: str, failure: str = "") -> router_pb2.ReportOutcomeRequest:
    return router_pb2.ReportOutcomeRequest(
        decision_id=decision_id,
        latency_ms=120.0,
        input_tokens=100,
        output_tokens=50,
        failure=failure,
    )


async def test_decide_report_feedback(router: Router, texts: Iterator[str]) -> None:
    made = await router.stub.Decide(asked(next(texts)), metadata=router.metadata)
    receipt = made.receipt
    assert list(made.rungs) == [receipt.arm]
    assert receipt.deployment == f"{receipt.arm}-1"
    decision = await router.decision(receipt.decision_id)
    assert not decision.settled
    assert sum(p.probability for p in decision.plans) == pytest.approx(1.0)
    assert all(p.plan != "cheap-then-reasoning" for p in decision.plans)

    told = await router.stub.ReportOutcome(outcome(receipt.decision_id), metadata=router.metadata)
    prices = {"cheap": 0.1, "reasoning": 2.0, "fallback": 0.5}
    assert told.cost_usd == pytest.approx(150 * prices[receipt.arm] / 1e6)
    again = await router.stub.ReportOutcome(outcome(receipt.decision_id), metadata=router.metadata)
    assert (told.already_recorded, again.already_recorded) == (False, True)
    await router.feedback(receipt.decision_id, 0.75)
    decision = await router.decision(receipt.decision_id)
    assert (decision.settled, decision.feedback_quality) == (True, 0.75)


async def test_another_outcome_is_a_conflict(router: Router, texts: Iterator[str]) -> None:
    made = await router.stub.Decide(asked(next(texts)), metadata=router.metadata)
    await router.stub.ReportOutcome(outcome(made.receipt.decision_id), metadata=router.metadata)
    other = outcome(made.receipt.decision_id, failure="timeout")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.stub.ReportOutcome(other, metadata=router.metadata)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason(caught.value) == "OUTCOME_CONFLICT"
    assert (await router.complete(next(texts))).answer.text


async def test_the_router_knows_its_own_calls(router: Router, texts: Iterator[str]) -> None:
    done = await router.complete(next(texts))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.stub.ReportOutcome(outcome(done.receipt.decision_id), metadata=router.metadata)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason(caught.value) == "OUTCOME_CONFLICT"
    assert (await router.complete(next(texts))).answer.text


async def test_what_a_decide_reserved_is_settled_by_its_report(
    router: Router, texts: Iterator[str]
) -> None:
    metadata = await router.tenant("saver", TenantLimits(daily_usd=1.0))
    made = await router.stub.Decide(asked(next(texts)), metadata=metadata)
    reserved_usd = 1.0 - made.receipt.quota_left.daily_usd
    told = await router.stub.ReportOutcome(outcome(made.receipt.decision_id), metadata=metadata)
    after = await router.stub.Decide(asked(next(texts)), metadata=metadata)
    assert reserved_usd > told.cost_usd
    spent_usd = 1.0 - after.receipt.quota_left.daily_usd
    assert told.cost_usd < spent_usd < 2 * reserved_usd


async def test_a_caller_that_gave_up_blames_nobody(router: Router, texts: Iterator[str]) -> None:
    made = await router.stub.Decide(asked(next(texts)), metadata=router.metadata)
    told = outcome(made.receipt.decision_id, failure="cancelled")
    await router.stub.ReportOutcome(told, metadata=router.metadata)
    (attempt,) = (await router.decision(made.receipt.decision_id)).receipt.attempts
    assert attempt.outcome == router_pb2.ATTEMPT_OUTCOME_CANCELLED


PRICE = (
    "input_usd_per_mtok: 1.0, output_usd_per_mtok: 10.0, cached_input_usd_per_mtok: 0.1,"
    " cache_write_usd_per_mtok: 1.25, reasoning_usd_per_mtok: 12.0"
)


@on_uvloop
async def test_a_report_is_charged_by_its_parts(tmp_path: Path, model_dir: Path) -> None:
    wire = Wire(lambda _: whole({}), price=PRICE)
    del model_dir
    async with routed(tmp_path, {"only": [wire]}) as router:
        made = await router.stub.Decide(asked("Why?"), metadata=router.metadata)
        told = outcome(made.receipt.decision_id)
        told.cached_input_tokens, told.cache_write_tokens, told.reasoning_tokens = 60, 30, 40
        cost_usd = (10 + 6 + 37.5 + 100 + 480) / 1e6
        first = await router.stub.ReportOutcome(told, metadata=router.metadata)
        again = await router.stub.ReportOutcome(told, metadata=router.metadata)
        assert (first.already_recorded, again.already_recorded) == (False, True)
        assert first.cost_usd == pytest.approx(cost_usd)
        (attempt,) = (await router.decision(made.receipt.decision_id)).receipt.attempts
        parts = attempt.cached_input_tokens, attempt.cache_write_tokens, attempt.reasoning_tokens
        assert parts == (60, 30, 40)
        kept = await router.storage.decisions.get("test", made.receipt.decision_id)
        assert kept.attempts[0].input_usd == pytest.approx(53.5 / 1e6)
        used = await router.storage.quota.usage(Tenant("test"))
        assert used.daily_usd == pytest.approx(cost_usd)
        told.cached_input_tokens = 59
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await router.stub.ReportOutcome(told, metadata=router.metadata)
        assert reason(caught.value) == "OUTCOME_CONFLICT"
