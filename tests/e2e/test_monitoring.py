"""A real Prometheus scrapes a router and a learner, with the rules and the dashboard's queries."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio

from router.domain.tenants import TenantLimits
from tests.deploy.prometheus import tool
from tests.e2e.conftest import Router, request, until

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
VARIABLES = {
    "$__rate_interval": "1m",
    "$__range": "1h",
    "$namespace": ".*",
    "$instance": ".*",
}
SEEN = {
    "Calls a second",
    "Saved",
    "Last feedback",
    "Somebody learns",
    "Calls by result",
    "Plans chosen",
    "Mean quality",
    "Calls, 99 %",
    "Spend by arm",
    "Left of budgets",
    "Circuits",
    "Attempts by outcome",
    "Memory of Redis",
    "Backlog",
    "Event loop late, 99 %",
    "Queues",
    "CPU",
    "Memory",
    "Versions",
}
"""Panels that show something after a few calls, one of each way to ask."""


@pytest.fixture
def doors() -> str:
    return ", tenant_metrics: 5"


class Prometheus:
    """Asks a server that scrapes every second, with rules that wait for nothing."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=f"{url}/api/v1")

    async def ask(self, path: str, **parameters: str) -> Any:
        answer = await self._client.get(path, params=parameters)
        told = answer.json()
        assert told["status"] == "success", (parameters, told)
        return told["data"]

    async def firing(self) -> set[str]:
        alerts = (await self.ask("alerts"))["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    async def scraped(self, times: int) -> bool:
        counted = f"min(count_over_time(adaptive_router_build_info[5m])) >= {times}"
        return len((await self.ask("query", query=counted))["result"]) > 0

    async def close(self) -> None:
        await self._client.aclose()


@pytest_asyncio.fixture
async def prometheus(router: Router, tmp_path: Path) -> AsyncIterator[Prometheus]:
    program, folder = tool("prometheus"), tmp_path / "prometheus"
    folder.mkdir()
    rules = (MONITORING / "alerts.yaml").read_text(encoding="utf-8")
    (folder / "alerts.yaml").write_text(re.sub(r"(?m)^( +for:) .*", r"\1 0s", rules))
    targets = [f"127.0.0.1:{port}" for port in (router.metrics_port, router.learner_metrics_port)]
    job = {"job_name": "all", "static_configs": [{"targets": targets}]}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [job],
    }
    (folder / "prometheus.json").write_text(json.dumps(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        program,
        f"--config.file={folder}/prometheus.json",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:  # noqa: ASYNC220, S603 - Prometheus itself
        asked = Prometheus(f"http://{address}")
        try:

            async def is_up() -> bool:
                assert server.poll() is None, "prometheus has ended"
                with suppress(httpx.HTTPError, ValueError):  # starting, it answers in plain text
                    return await asked.scraped(3)
                return False

            await until(is_up)
            yield asked
        finally:
            await asked.close()
            server.terminate()


async def test_what_is_healthy_shows_on_the_dashboard_and_alerts_nobody(
    router: Router, prometheus: Prometheus, texts: Iterator[str]
) -> None:
    spender = await router.tenant("spender", TenantLimits(daily_usd=1.0))
    for _ in range(5):
        done = await router.stub.Complete(request(next(texts)), metadata=spender)
        await asyncio.sleep(1)
    done = await router.complete(next(texts))
    await router.feedback(done.receipt.decision_id, 0.75)
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]

    async def all_are_shown() -> bool:
        shown = {panel["title"] for panel in panels if await _results(prometheus, panel)}
        return shown >= SEEN

    await until(all_are_shown)
    groups = (await prometheus.ask("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 30
    assert {rule["health"] for rule in rules} == {"ok"}
    assert await prometheus.firing() == set()


async def _results(prometheus: Prometheus, panel: dict[str, Any]) -> list[Any]:
    found = []
    for target in panel["targets"]:
        query = target["expr"]
        for name, value in VARIABLES.items():
            query = query.replace(name, value)
        found += (await prometheus.ask("query", query=query))["result"]
    return found


async def test_providers_that_fail_alert(
    router: Router, prometheus: Prometheus, texts: Iterator[str]
) -> None:
    for upstream in router.upstreams.values():
        upstream.down = True
    wanted = {f"AdaptiveRouter{name}" for name in ("CircuitOpen", "AllCircuitsOpen", "ErrorShare")}

    async def alerts() -> bool:
        for arm in router.upstreams:
            with suppress(grpc.aio.AioRpcError):
                await router.complete(next(texts), arm=arm)
        return await prometheus.firing() >= wanted

    await until(alerts)
    assert "AdaptiveRouterStoreAway" not in await prometheus.firing()
