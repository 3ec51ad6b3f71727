"""A learner that is away for long: what can't be learned is refused before it is paid for."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from adaptive_router.v1 import router_pb2
from google.rpc import error_details_pb2

from tests.e2e.conftest import Router
from tests.e2e.details import detail


@pytest.fixture
def learns() -> bool:
    return False


@pytest.fixture
def redis() -> str:
    return "max_events: 2"


async def test_nothing_is_spent_on_what_could_not_be_learned(
    router: Router, texts: Iterator[str]
) -> None:
    first = next(texts)
    for text in (first, next(texts)):
        await router.complete(text)
    asked: list[str] = []
    for upstream in router.upstreams.values():
        find = upstream.find
        upstream.find = lambda text, find=find: asked.append(text) or find(text)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.complete(next(texts))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert detail(caught.value, error_details_pb2.ErrorInfo()).reason == "OVERLOADED"
    assert asked == []
    assert (await router.complete(first)).receipt.cache == router_pb2.CACHE_STATUS_EXACT
    (position, _), *_ = await router.storage.events.read("0", 1, 0)
    await router.storage.events.trim(position)
    assert (await router.complete(next(texts))).answer.text
