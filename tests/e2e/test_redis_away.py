"""A router that is started before its Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2

from demo.upstream import INSTANT, Upstream
from router.adapters.storage import EmbeddedRedis
from router.app.server import running_router
from router.config import parse_config
from router.domain.tenants import Tenant, hash_key
from tests.e2e.conftest import ARMS, GOOD, KEY, Router, health, served, until
from tests.e2e.details import detail, reason


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    """Not started yet."""
    made = EmbeddedRedis(tmp_path / "later", appendfsync="everysec")
    yield made
    await made.stop()


@pytest.fixture
def redis(server: EmbeddedRedis) -> str:
    return f"url: 'unix://{server.socket}'"


@pytest.fixture
def sections(tmp_path: Path) -> str:
    return f"degraded: {{spool_dir: {tmp_path}/spool}}"


@pytest.mark.usefixtures("model_dir")
async def test_it_refuses_with_what_to_do_and_serves_once_redis_is_there(
    tmp_path: Path,
    config: Callable[..., str],
    server: EmbeddedRedis,
    texts: Iterator[str],
) -> None:
    upstream = Upstream("any", INSTANT, lambda _: GOOD)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(served(upstream))
        parsed = parse_config(config(tmp_path, dict.fromkeys(ARMS, port)), "test.yaml", {})
        running = await stack.enter_async_context(running_router(parsed, {}))
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{running.port}")
        await stack.enter_async_context(channel)
        router = Router(running.port, channel, {"any": upstream}, running.storage)
        await refused(router, next(texts))
        await server.start()
        await until(lambda: health(router, "redis"))
        await running.storage.tenants.create(Tenant("test"), hash_key(KEY))
        assert (await router.complete(next(texts))).answer.text
        await until(lambda: health(router, "redis"))


async def refused(router: Router, text: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.complete(text)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason(caught.value) == "STORAGE_UNAVAILABLE"
    assert detail(caught.value, error_details_pb2.RetryInfo()).HasField("retry_delay")
    assert not await health(router, "redis")
