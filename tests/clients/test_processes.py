"""Callers of a router process that is stopped and started again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from adaptive_router_client import AsyncClient, Retry, Routing

from demo.stack import free_port
from demo.upstream import INSTANT, Upstream, served
from tests.e2e.conftest import ARMS, GOOD

PATIENCE_S = 60.0
CALLERS, CALLS = 4, 12
PATIENT = Retry(calls=100, most_wait_s=1)


@asynccontextmanager
async def started(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router", "serve", "--config", str(config)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def stopped(process: asyncio.subprocess.Process) -> int:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_S):
        return await process.wait()


@pytest.mark.slow
@pytest.mark.usefixtures("model_dir")
async def test_a_restart_is_not_seen_by_callers_and_nothing_is_paid_twice(
    tmp_path: Path, config: Callable[..., str]
) -> None:
    upstream = Upstream("reasoning", replace(INSTANT, token_ms=2), lambda _: GOOD, ledger=[])
    async with served(upstream) as upstream_port:
        port = free_port()
        text = config(tmp_path, dict.fromkeys(ARMS, upstream_port))
        text = text.replace("{port: 0,", f"{{port: {port},") + "auth: {required: no}\n"
        path = tmp_path / "router.yaml"
        path.write_text(text)
        target, routing = f"127.0.0.1:{port}", Routing(arm="reasoning")
        async with AsyncClient(target, retry=PATIENT) as client:

            async def caller(number: int) -> list[str]:
                done = [await client.complete(f"{number} of {i}", routing) for i in range(CALLS)]
                return [one.text for one in done]

            callers = [asyncio.create_task(caller(number)) for number in range(CALLERS)]
            async with started(path) as first:
                async with asyncio.timeout(PATIENCE_S):
                    while len(upstream.ledger or ()) < CALLERS * 2:
                        await asyncio.sleep(0.02)
                assert await stopped(first) == 0
            assert not all(task.done() for task in callers)
            async with started(path) as second:
                async with asyncio.timeout(PATIENCE_S):
                    texts = await asyncio.gather(*callers)
                assert await stopped(second) == 0
    assert texts == [["Forty-two."] * CALLS] * CALLERS
    paid = Counter(entry.prompt for entry in upstream.ledger or ())
    assert set(paid.values()) == {1}
    assert len(paid) == CALLERS * CALLS
