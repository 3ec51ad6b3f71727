"""Faults refuse a request or degrade the service, and the rest goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.e2e.conftest import Router, health, until


async def test_redis_dies_and_comes_back_with_everything(
    router: Router, texts: Iterator[str]
) -> None:
    done = await router.complete(next(texts))
    os.kill(router.storage.server.pid, signal.SIGKILL)
    meanwhile = await router.complete(next(texts))
    assert meanwhile.receipt.degraded

    async def is_back() -> bool:
        return not (await router.complete(next(texts))).receipt.degraded

    await until(is_back)
    await until(lambda: health(router, "degraded"))
    for answer in (done, meanwhile):
        stored = await router.storage.decisions.get("test", answer.receipt.decision_id)
        assert stored.arm == answer.receipt.arm


@pytest.mark.parametrize("component", ["", "adaptive_router.v1.RouterService", "redis", "embedder"])
async def test_health_names_components(router: Router, component: str) -> None:
    assert await health(router, component)


async def test_providers_that_are_all_ill_show(router: Router, texts: Iterator[str]) -> None:
    for upstream in router.upstreams.values():
        upstream.down = True

    async def is_ill() -> bool:
        for arm in router.upstreams:
            with pytest.raises(grpc.aio.AioRpcError):
                await router.complete(next(texts), arm=arm)
        return not await health(router, "providers")

    await until(is_ill)
    assert await health(router, "")


async def test_reflection_lists_the_service(router: Router) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(router.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([asked]))
    names = {s.name async for answer in call for s in answer.list_services_response.service}
    assert "adaptive_router.v1.RouterService" in names


async def test_no_prompt_and_no_key_reaches_a_log(
    router: Router, capfd: pytest.CaptureFixture[str]
) -> None:
    await router.complete("A very secret question about zeppelins")
    router.upstreams["cheap"].find = lambda _: 1 / 0
    router.upstreams["reasoning"].find = router.upstreams["fallback"].find = lambda _: 1 / 0
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.complete("Another secret about zeppelins", no_cache=True)
    written = ""

    async def is_told() -> bool:
        nonlocal written
        written += "".join(capfd.readouterr())
        return "ALL_ATTEMPTS_FAILED" in written

    await until(is_told)  # a call is told of after it was answered
    for text in (written, str(caught.value.details())):
        assert "zeppelins" not in text
        assert "ar_test" not in text
