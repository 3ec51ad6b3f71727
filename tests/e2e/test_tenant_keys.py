"""Keys of a tenant on several routers at once: they expire, and stop, on all of them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
from adaptive_router.v1 import router_pb2_grpc
from adaptive_router_client import AsyncClient
from adaptive_router_client.errors import KeyExpired

from demo.upstream import INSTANT, Upstream, served
from router.app.server import running_router
from router.config import load_config
from router.serving.admission import AdmissionSettings
from tests.e2e.conftest import ARMS, GOOD, request
from tests.e2e.details import reason
from tests.e2e.wire import on_uvloop

STOPS_S = AdmissionSettings().remember_s
SLACK_S = 10.0
"""Beyond the documented time, for a machine that is busy."""


@dataclass(frozen=True, slots=True)
class Site:
    """Two routers on one store. config: of both."""

    config: Path
    ports: tuple[int, int]
    http_ports: tuple[int, int]

    async def run(self, *words: str, code: int = 0) -> str:
        """Run a command as an operator does, in a process of its own."""
        named = os.environ | {"ADAPTIVE_ROUTER_CONFIG": str(self.config)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "router", *words, env=named, stdout=-1, stderr=-1
        )
        told, errors = await process.communicate()
        assert process.returncode == code, errors.decode()
        return told.decode()

    async def asked(self, key: str) -> list[str]:
        """Ask each router, over gRPC. Returns OK or the reason of each."""
        return [await _asked(port, key) for port in self.ports]

    async def asked_by_http(self, key: str) -> list[str]:
        async with httpx.AsyncClient(trust_env=False) as client:
            told = [
                await client.get(f"http://127.0.0.1:{port}/v1/models", headers={"x-api-key": key})
                for port in self.http_ports
            ]
        return [one.headers.get("x-router-reason", "OK") + f" {one.status_code}" for one in told]


async def _asked(port: int, key: str) -> str:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)
        try:
            await stub.Complete(
                request(f"Tell me about moss, {time.time_ns()}."),
                metadata=(("authorization", f"Bearer {key}"),),
            )
        except grpc.aio.AioRpcError as error:
            is_plain = error.code() is grpc.StatusCode.UNAUTHENTICATED
            return reason(error) if is_plain else f"{error.code()}"
        return "OK"


@asynccontextmanager
async def site(folder: Path, config: Callable[..., str]) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        ports = {
            arm: await stack.enter_async_context(served(Upstream(arm, INSTANT, lambda _: GOOD)))
            for arm in ARMS
        }
        path = folder / "router.yaml"
        path.write_text(
            config(folder, ports).replace("metrics_port: 0", "metrics_port: 0, http_port: 0")
        )
        parsed = load_config(path, {})
        one, two = [await stack.enter_async_context(running_router(parsed, {})) for _ in "ab"]
        yield Site(path, (one.port, two.port), (one.http_port, two.http_port))


async def until_refused(asked: Callable[[], object], key_reason: str) -> float:
    """Returns how long it took until every router refused."""
    began_s = time.monotonic()
    async with asyncio.timeout(60):
        while await asked() != [key_reason, key_reason]:  # type: ignore[misc]  # a coroutine
            await asyncio.sleep(0.1)
    return time.monotonic() - began_s


@on_uvloop
async def test_a_revoked_key_stops_on_all_routers_and_the_others_work_on(
    tmp_path: Path, config: Callable[..., str], model_dir: Path
) -> None:
    del model_dir
    async with site(tmp_path, config) as made:
        first = (await made.run("tenant", "create", "acme", "--daily-usd", "5")).strip()
        told = json.loads(await made.run("tenant", "key", "create", "acme", "--json"))
        assert await made.asked(first) == await made.asked(told["key"]) == ["OK", "OK"]
        assert await made.asked_by_http(told["key"]) == ["OK 200", "OK 200"]
        await made.run("tenant", "key", "revoke", "acme", told["id"])
        took_s = await until_refused(lambda: made.asked(told["key"]), "UNAUTHENTICATED")
        assert took_s < STOPS_S + SLACK_S
        assert await made.asked_by_http(told["key"]) == ["UNAUTHENTICATED 401"] * 2
        assert await made.asked(first) == ["OK", "OK"]
        used = json.loads(await made.run("tenant", "usage", "acme", "--json"))
        assert used["requests_daily"] >= 6
        assert 0 < used["spent_daily_usd"] < 5
        await made.run("tenant", "delete", "acme", "--yes")
        await until_refused(lambda: made.asked(first), "UNAUTHENTICATED")
        assert json.loads(await made.run("tenant", "list", "--json")) == {"tenants": []}


@on_uvloop
async def test_an_expired_key_is_told_so_at_every_door(
    tmp_path: Path, config: Callable[..., str], model_dir: Path
) -> None:
    """It is never trusted beyond its end, although a router trusts a key for five seconds."""
    del model_dir
    async with site(tmp_path, config) as made:
        lasting = (await made.run("tenant", "create", "acme")).strip()
        told = json.loads(
            await made.run("tenant", "key", "create", "acme", "--expires-in", "3s", "--json")
        )
        key, until_s = told["key"], time.monotonic() + 3
        assert set(await made.asked(key)) <= {"OK", "KEY_EXPIRED"}
        await asyncio.sleep(max(0.0, until_s - time.monotonic()))
        assert await made.asked(key) == ["KEY_EXPIRED", "KEY_EXPIRED"]
        assert await made.asked_by_http(key) == ["KEY_EXPIRED 401", "KEY_EXPIRED 401"]
        async with AsyncClient(f"127.0.0.1:{made.ports[0]}", key=key) as client:
            with pytest.raises(KeyExpired, match="has expired"):
                await client.complete("hi")
        assert await made.asked(lasting) == ["OK", "OK"]
        (one, two) = json.loads(await made.run("tenant", "key", "list", "acme", "--json"))["keys"]
        assert (one["expired"], two["expired"]) == (False, True)
