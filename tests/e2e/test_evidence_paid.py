"""What evidence costs is bounded and written down, whatever happens to the routers that buy it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from adaptive_router.v1 import router_pb2, router_pb2_grpc
from click.testing import CliRunner

from demo.stack import free_port
from demo.upstream import INSTANT, Upstream, served
from demo.world import Profile, Reply
from router.adapters.storage import Storage
from router.app.administration import PolicyAdministration
from router.app.learner import running_learner
from router.app.process import opened_storage
from router.app.server import running_router
from router.cli import main
from router.config import Config, parse_config
from router.domain.events import EvidenceBought
from router.domain.tenants import Reservation, Tenant, TenantLimits
from router.serving.evidence.buyer import BUDGET_TENANT, budget_tenant
from tests.e2e.conftest import request
from tests.stores import stored

ROOT = Path(__file__).parents[2]
PRICES = {"cheap": 0.1, "strong": 2.0, "judge": 0.5}
PATIENCE_S = 60.0
SLOW = Profile(0.1, 0.1, first_token_ms=600_000, token_ms=0, failure_rate=0)
ANSWER = Reply("The answer is 42.", 1.0, 100, 1_000)
GRADE = Reply("SCORE: 8", 1.0, 100, 5)


def graded(prompt: str) -> Reply:
    return GRADE if '"answer"' in prompt else ANSWER


@dataclass(slots=True)
class Town:
    """A store and upstreams that any number of routers use."""

    folder: Path
    redis: str
    upstreams: dict[str, Upstream]
    ports: dict[str, int]
    budget_usd: float
    storage: Storage | None = None
    texts: list[str] = field(default_factory=list)

    def config(self, port: int = 0, evidence: str = "") -> str:
        arms = "\n".join(
            f"  {arm}: {{deployments: [{{name: {arm}-1, provider: openai, model: {arm},"
            f" max_output_tokens: 1000, base_url: 'http://127.0.0.1:{at}/v1', price:"
            f" {{input_usd_per_mtok: {PRICES[arm]}, output_usd_per_mtok: {PRICES[arm]}}}}}]}}"
            for arm, at in self.ports.items()
        )
        return f"""
server: {{port: {port}, metrics_port: 0, drain_ms: 1000}}
redis: {{url: '{self.redis}'}}
auth: {{required: no}}
cache: {{enabled: no}}
embedding: {{workers: 1}}
learning: {{embedded: false, poll_ms: 50}}
degraded: {{spool_dir: {self.folder}/spool}}
evidence: {{budget_usd_per_day: {self.budget_usd}, source: judge, judge: judge{evidence}}}
plans: {{cheap: [cheap], strong: [strong]}}
arms:
{arms}
"""

    def parsed(self) -> Config:
        return parse_config(self.config(), "test.yaml", {})

    def paid_usd(self) -> float:
        """Returns what the upstreams have charged by their own ledgers."""
        calls = [(arm, one) for arm, up in self.upstreams.items() for one in up.ledger or ()]
        return sum(PRICES[arm] * (c.input_tokens + c.output_tokens) for arm, c in calls) / 1e6

    def calls(self, arm: str) -> int:
        return len(self.upstreams[arm].ledger or ())

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Storage]:
        async with opened_storage(self.parsed(), {}) as storage:
            yield storage

    async def bought(self, storage: Storage) -> list[EvidenceBought]:
        events = [event for _, event in await storage.events.read("0", 2_000, 0)]
        return [event for event in events if isinstance(event, EvidenceBought)]


@pytest.fixture
def budget_usd() -> float:
    return 5.0


@pytest.fixture
async def town(tmp_path: Path, model_dir: Path, budget_usd: float) -> AsyncIterator[Town]:
    assert model_dir
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(stored(tmp_path / "redis"))
        upstreams = {arm: Upstream(arm, INSTANT, graded, ledger=[]) for arm in PRICES}
        ports = {a: await stack.enter_async_context(served(u)) for a, u in upstreams.items()}
        yield Town(tmp_path, server.url, upstreams, ports, budget_usd)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.02)


async def asked(port: int, text: str, **routing: object) -> router_pb2.CompleteResponse:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)
        done: router_pb2.CompleteResponse = await stub.Complete(request(text, **routing))
        return done


class TestReplicas:
    @pytest.fixture
    def budget_usd(self) -> float:
        """It pays for five prompts at their longest, for some more as they come to."""
        return 0.05

    async def test_together_never_spend_more_than_the_budget(self, town: Town) -> None:
        async with AsyncExitStack() as stack:
            ports = [
                (await stack.enter_async_context(running_router(town.parsed(), {}))).port
                for _ in range(3)
            ]
            storage = await stack.enter_async_context(town.opened())
            texts = [f"Tell me about number {number}." for number in range(60)]
            done = await asyncio.gather(
                *(asked(ports[n % 3], text) for n, text in enumerate(texts))
            )
            budget = budget_tenant(town.budget_usd)

            async def is_settled() -> bool:
                return (await storage.quota.usage(budget)).reservations == 0

            await until(is_settled)
            await asyncio.sleep(0.3)
            await until(is_settled)
            used, events = await storage.quota.usage(budget), await town.bought(storage)
        served_usd = sum(one.receipt.cost_usd for one in done)
        bought_usd = town.paid_usd() - served_usd
        assert events
        assert sum(event.cost_usd for event in events) == pytest.approx(bought_usd, abs=1e-9)
        assert used.daily_usd == pytest.approx(bought_usd, abs=1e-8)
        assert bought_usd <= town.budget_usd


async def test_a_router_that_is_stopped_writes_down_what_it_has_paid(town: Town) -> None:
    """The judge hangs; the arms have answered and are paid for."""
    town.upstreams["judge"].profile = SLOW
    async with town.opened() as storage:
        async with running_router(town.parsed(), {}) as running:
            done = await asked(running.port, "Tell me about rivers.")

            async def is_judged() -> bool:
                return town.calls("judge") == 2 and town.calls("cheap") + town.calls("strong") == 2

            await until(is_judged)
        (event,) = await town.bought(storage)
        used = await storage.quota.usage(budget_tenant(town.budget_usd))
    assert event.decision_id == done.receipt.decision_id
    told = {answer.arm: answer for answer in event.arms}
    assert set(told) == {"cheap", "strong"}
    assert [answer.quality for answer in told.values()] == [None, None]
    # Calls that were cut short count as what they may have cost.
    assert event.cost_usd >= town.paid_usd() - done.receipt.cost_usd - 1e-9
    assert (used.reservations, used.daily_usd) == (0, pytest.approx(event.cost_usd, abs=1e-8))


async def test_a_router_that_is_killed_has_what_it_held_charged(town: Town) -> None:
    town.upstreams["judge"].profile = SLOW
    port = free_port()
    process = spawned(town, port)
    try:
        done = await _first_answer(port, process)

        async def is_judged() -> bool:
            return town.calls("judge") >= 2

        await until(is_judged)
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
    finally:
        process.kill()
        process.wait()
    async with town.opened() as storage:
        budget = budget_tenant(town.budget_usd)
        held = await storage.quota.usage(budget)
        assert held.reservations == 1
        # Its lease lapses now and not in 45 s.
        name = f"{done.receipt.decision_id}#evidence"
        lease = Reservation(name, BUDGET_TENANT, 0, 0.0)
        assert await storage.quota.renew([lease], ttl_s=0.001) == []
        await asyncio.sleep(0.05)
        (orphan,) = await storage.quota.settle_orphans(10, tenant=BUDGET_TENANT)
        used = await storage.quota.usage(budget)
    assert orphan.id == name
    assert used.reservations == 0
    assert used.daily_usd == pytest.approx(orphan.charged_usd)
    assert used.daily_usd >= town.paid_usd() - done.receipt.cost_usd


def spawned(town: Town, port: int) -> subprocess.Popen[bytes]:
    """Return a router in a process of its own."""
    file = town.folder / "router.yaml"
    file.write_text(town.config(port))
    words = [sys.executable, "-m", "router", "serve", "--config", str(file)]
    with (town.folder / "log").open("wb") as log:
        return subprocess.Popen(words, cwd=ROOT, env=dict(os.environ), stderr=log)  # noqa: S603 - our own


async def _first_answer(port: int, process: subprocess.Popen[bytes]) -> router_pb2.CompleteResponse:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await asked(port, "Tell me about rivers.")
            except grpc.aio.AioRpcError:
                assert process.poll() is None
                await asyncio.sleep(0.1)


async def test_a_judge_that_is_down_leaves_what_the_arms_cost(town: Town) -> None:
    town.upstreams["judge"].down = True
    async with town.opened() as storage, running_router(town.parsed(), {}) as running:
        for number in range(1, 6):
            await asked(running.port, f"Tell me about number {number}.")
            await asyncio.sleep(0.2)

        async def are_three() -> bool:
            return len(await town.bought(storage)) == 3

        await until(are_three)
        events = await town.bought(storage)
    assert all(len(event.arms) == 2 and not event.is_full for event in events)
    assert all(event.cost_usd > 0 for event in events)
    assert town.calls("judge") == 0


async def test_a_purchase_that_takes_too_long_is_ended_and_counted(town: Town) -> None:
    town.upstreams["judge"].profile = SLOW
    config = parse_config(town.config(evidence=", timeout_ms: 500"), "test.yaml", {})
    async with town.opened() as storage, running_router(config, {}) as running:
        done = await asked(running.port, "Tell me about rivers.")

        async def is_there() -> bool:
            return bool(await town.bought(storage))

        await until(is_there)
        (event,) = await town.bought(storage)
    assert event.cost_usd >= town.paid_usd() - done.receipt.cost_usd - 1e-9
    assert not event.is_full


async def test_an_arm_that_hangs_takes_no_other_arms_score_with_it(town: Town) -> None:
    """What the others answered is paid for, and so it is scored."""
    town.upstreams["strong"].profile = SLOW
    text = town.config(evidence=", timeout_ms: 2000").replace(
        "strong: [strong]}", "strong: [strong], judge: [judge]}\npolicy: {observe: cheap}"
    )
    config = parse_config(text, "test.yaml", {})
    async with town.opened() as storage, running_router(config, {}) as running:
        await asked(running.port, "Tell me about rivers.")

        async def is_there() -> bool:
            return bool(await town.bought(storage))

        await until(is_there)
        (event,) = await town.bought(storage)
        assert town.calls("strong") == 1
    told = {answer.arm: answer.quality for answer in event.arms}
    assert told == {"cheap": 0.8, "judge": 0.8}
    assert event.is_full


async def test_a_loud_tenant_does_not_take_every_place(town: Town) -> None:
    """Purchases hang; the answers do not wait for them, and the waiting line is bounded."""
    town.upstreams["judge"].profile = SLOW
    async with town.opened() as storage, running_router(town.parsed(), {}) as running:
        done = [await asked(running.port, f"Tell me about number {n}.") for n in range(70)]
        records = await storage.events.records([one.receipt.decision_id for one in done])
        shares = [record.evidence_share for record in records if record is not None]
        used = await storage.quota.usage(budget_tenant(town.budget_usd))
    assert len(shares) == 70
    assert shares[0] > 0
    assert shares[-1] == 0.0
    assert used.reservations <= 4
    # Those that waited for their turn when the router was stopped have asked nobody.
    assert town.calls("judge") <= 2 * 4
    async with town.opened() as storage:
        assert len(await town.bought(storage)) <= 4


async def test_operators_see_what_there_is_and_why_more_is_bought(town: Town) -> None:
    (town.folder / "router.yaml").write_text(town.config())
    async with (
        town.opened() as storage,
        running_router(town.parsed(), {}) as running,
        running_learner(town.parsed(), {}),
    ):
        for number in range(1, 4):
            await asked(running.port, f"Tell me about number {number}.")
        policies = PolicyAdministration(town.parsed(), storage)

        async def are_three() -> bool:
            known = (await policies.policies()).evidence
            return known is not None and known.prompts == 3

        await until(are_three)
        found = (await policies.policies()).evidence
        assert found is not None
        events = await town.bought(storage)
        assert found.spent_usd == pytest.approx(sum(event.cost_usd for event in events))
        assert found.worth_usd == pytest.approx(sum(event.value_usd for event in events))
        assert found.worth_usd > found.spent_usd > 0
        assert "most, at first and after a change" in found.outlook
        words = ["policy", "list", "--config", str(town.folder / "router.yaml")]
        shown = await asyncio.to_thread(CliRunner().invoke, main, words)
        poor = parse_config(town.config().replace("per_day: 5.0", "per_day: 0.001"), "t.yaml", {})
        spent = (await PolicyAdministration(poor, storage).policies()).evidence
    assert shown.exit_code == 0, shown.output
    assert "evidence: 3 prompts known for every arm" in shown.output
    assert spent is not None
    assert "the day's budget is used" in spent.outlook


async def test_an_audit_that_is_cut_short_is_charged_too(town: Town) -> None:
    """The same of audits: the arm above hangs while the router is stopped."""
    checked = "{checked: {rungs: [cheap, strong], second: judge, gate: agreement}}"
    text = town.config().replace("{cheap: [cheap], strong: [strong]}", checked)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("evidence:"))
    config = parse_config(text + "\njudging: {audit_share: 1}\n", "test.yaml", {})
    town.upstreams["judge"].find = lambda _: ANSWER
    town.upstreams["strong"].profile = SLOW
    audits = Tenant("#audits", TenantLimits(daily_usd=1.0))
    async with town.opened() as storage:
        async with running_router(config, {}) as running:
            done = await asked(running.port, "How many legs have four spiders?")
            assert done.receipt.arm == "cheap"

            async def is_asked() -> bool:
                return town.calls("strong") == 1

            await until(is_asked)
        used = await storage.quota.usage(audits)
    assert used.reservations == 0
    assert used.daily_usd >= PRICES["strong"] * 1_000 / 1e6
