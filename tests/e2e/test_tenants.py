"""Who may call, and how much they may spend."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import grpc
import pytest
from adaptive_router.v1 import router_pb2
from google.rpc import error_details_pb2

from router.domain.tenants import QuotaLeft, Reservation, TenantLimits
from tests.e2e.conftest import Router, chat, request
from tests.e2e.details import detail, reason


@pytest.mark.parametrize(
    "metadata",
    [(), (("authorization", "Bearer nope"),), (("authorization", "Basic dTpw"),)],
)
async def test_no_valid_key_no_answer(
    router: Router, texts: Iterator[str], metadata: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.stub.Complete(request(next(texts)), metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert reason(caught.value) == "UNAUTHENTICATED"
    assert (await router.complete(next(texts))).answer.text


async def test_over_the_request_limit(router: Router, texts: Iterator[str]) -> None:
    metadata = await router.tenant("two", TenantLimits(requests_per_minute=2))
    first = await router.stub.Complete(request(next(texts)), metadata=metadata)
    assert first.receipt.quota_left.requests == 1
    await router.stub.Complete(request(next(texts)), metadata=metadata)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.stub.Complete(request(next(texts)), metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    failure = detail(caught.value, error_details_pb2.QuotaFailure())
    assert "two" in failure.violations[0].subject
    wait = detail(caught.value, error_details_pb2.RetryInfo()).retry_delay
    assert 0 < wait.seconds + wait.nanos / 1e9 <= 60
    assert (await router.complete(next(texts))).answer.text  # another tenant


async def test_what_was_refused_is_not_settled(
    router: Router, texts: Iterator[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers over their limit may come often, and a settlement is a write."""
    metadata = await router.tenant("eager", TenantLimits(requests_per_minute=1))
    await router.stub.Complete(request(next(texts)), metadata=metadata)
    settled: list[str] = []

    async def settle(reservation: Reservation, *_: object) -> QuotaLeft:
        settled.append(reservation.tenant)
        return QuotaLeft()

    monkeypatch.setattr(router.storage.quota, "settle", settle)
    asked = router_pb2.DecideRequest(chat=chat(next(texts)))
    for call in (
        router.stub.Complete(request(next(texts)), metadata=metadata),
        router.stub.Decide(asked, metadata=metadata),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await router.complete(next(texts))
    assert settled == ["test"]


async def test_a_budget_is_never_overspent_by_a_crowd(router: Router, texts: Iterator[str]) -> None:
    """Each answer costs at most 4,096 tokens of the dearest arm; the reservation holds that."""
    limit_usd = 0.1
    metadata = await router.tenant("crowd", TenantLimits(daily_usd=limit_usd))
    calls = [router.stub.Complete(request(next(texts)), metadata=metadata) for _ in range(40)]
    ended = await asyncio.gather(*calls, return_exceptions=True)
    served = [e for e in ended if not isinstance(e, BaseException)]
    refused = [e for e in ended if isinstance(e, grpc.aio.AioRpcError)]
    assert served
    assert refused
    assert {e.code() for e in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert sum(e.receipt.cost_usd for e in served) <= limit_usd


async def test_a_foreign_decision_looks_unknown(router: Router, texts: Iterator[str]) -> None:
    done = await router.complete(next(texts))
    metadata = await router.tenant("other")
    router.metadata = metadata
    for call in (router.decision, lambda i: router.feedback(i, 1.0)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(done.receipt.decision_id)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert reason(caught.value) == "DECISION_NOT_FOUND"
    assert (await router.complete(next(texts))).answer.text


async def test_an_allow_list_is_kept(router: Router, texts: Iterator[str]) -> None:
    metadata = await router.tenant("frugal", TenantLimits(arms=("cheap",)))
    router.upstreams["cheap"].down = True
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.stub.Complete(request(next(texts)), metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
