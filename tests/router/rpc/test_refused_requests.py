"""A request that was refused is gone with its answer, whenever the garbage collector comes."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress

import grpc
import pytest
from adaptive_router.v1 import router_pb2

from tests.router.rpc.wire import METADATA, Wire

BYTES = 1_000_000
TIMES = 20
PATIENCE_S = 60.0


@pytest.fixture
def traced() -> Iterator[None]:
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


@pytest.mark.usefixtures("traced")
async def test_a_refused_request_is_not_kept(wire: Wire) -> None:
    body = router_pb2.GetDecisionRequest(decision_id="x" * BYTES).SerializeToString()
    path = "/adaptive_router.v1.RouterService/GetDecision"
    call = wire.channel.unary_unary(path)
    for _ in range(TIMES):
        with suppress(grpc.aio.AioRpcError):
            await call(body, metadata=METADATA)
    async with asyncio.timeout(PATIENCE_S):
        while tracemalloc.get_traced_memory()[0] > TIMES * BYTES / 4:
            await asyncio.sleep(0.05)
