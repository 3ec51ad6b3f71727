"""`calibrate` as the process it is: killed, resumed, published, and served from."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest
from adaptive_router.v1 import router_pb2, router_pb2_grpc

from demo.stack import free_port
from demo.upstream import Upstream
from demo.world import Profile, Reply
from router.app.learner import running_learner
from router.app.learner_state_factory import LearnerStateFactory
from router.app.process import opened_storage
from router.app.server import running_router
from router.config import Config, parse_config
from router.config.values import catalog_of
from router.domain.tenants import Tenant, hash_key
from tests.e2e.conftest import KEY, request, served, until

PRICES = {"cheap": 0.1, "reasoning": 2.0, "fallback": 0.5}
PROMPTS = 30
CONCURRENCY = 4
SLOW = Profile(0, 0, first_token_ms=40, token_ms=0, failure_rate=0)
USED = Reply("", 1.0, 100, 50)


@dataclass(slots=True)
class Site:
    """paid: how often each (arm, prompt) reached an upstream that charges for it."""

    folder: Path
    config: Config
    upstreams: list[Upstream]
    paid: Counter[tuple[str, str]]

    @property
    def paid_usd(self) -> float:
        tokens = USED.input_tokens + USED.output_tokens
        return sum(PRICES[arm] * tokens / 1e6 * times for (arm, _), times in self.paid.items())

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "router", "calibrate", str(self.folder / "prompts.jsonl")),
            *("--config", str(self.folder / "router.yaml"), "--concurrency", str(CONCURRENCY)),
            *(words or ("--budget-usd", "1")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "COLUMNS": "160"},
        )

    async def run(self, *words: str) -> tuple[int | None, str, str]:
        process = await self.start(*words)
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    async def ended(self, *words: str, after: int, number: signal.Signals) -> int | None:
        """Its exit code, when it was sent a signal after so many calls."""
        process = await self.start(*words)
        before = self.paid.total()

        async def are_paid() -> bool:
            return self.paid.total() - before >= after

        await until(are_paid)
        process.send_signal(number)
        await process.communicate()
        return process.returncode


@pytest.fixture
async def site(tmp_path: Path, model_dir: Path) -> AsyncIterator[Site]:
    assert model_dir
    async with standing(tmp_path) as made:
        yield made


@asynccontextmanager
async def standing(folder: Path) -> AsyncIterator[Site]:
    """Only the reasoning arm is right. The third word of a prompt is a number."""
    paid: Counter[tuple[str, str]] = Counter()

    def answers(arm: str, prompt: str) -> Reply:
        paid[arm, prompt] += 1
        text = f"The answer is {int(prompt.split()[2]) + 1 if arm == 'reasoning' else -1}."
        return Reply(text, 1.0, USED.input_tokens, USED.output_tokens)

    async with AsyncExitStack() as stack:
        upstreams = [
            Upstream(arm, SLOW, lambda prompt, arm=arm: answers(arm, prompt)) for arm in PRICES
        ]
        ports = {u.name: await stack.enter_async_context(served(u)) for u in upstreams}
        yield Site(folder, _written(folder, ports), upstreams, paid)


def _written(folder: Path, ports: dict[str, int]) -> Config:
    text = _config(folder, ports)
    (folder / "router.yaml").write_text(text)
    lines = (
        json.dumps({"prompt": f"What is {i} plus one?", "reference": i + 1}) for i in range(PROMPTS)
    )
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    return parse_config(text, "router.yaml", {})


def _config(folder: Path, ports: dict[str, int]) -> str:
    arms = "\n".join(
        f"  {arm}: {{deployments: [{{name: {arm}-1, provider: openai, model: {arm},"
        f" base_url: 'http://127.0.0.1:{port}/v1', max_output_tokens: 100, price:"
        f" {{input_usd_per_mtok: {PRICES[arm]}, output_usd_per_mtok: {PRICES[arm]}}}}}]}}"
        for arm, port in ports.items()
    )
    return f"""
server: {{port: {free_port()}, metrics_port: 0}}
redis: {{embedded: {{data_dir: {folder}/redis, appendfsync: everysec}}}}
embedding: {{workers: 1}}
policy: {{weights: {{cost: 0.05}}}}
cache: {{enabled: false}}
learning: {{embedded: false, publish_every_ms: 50, poll_ms: 20}}
arms:
{arms}
"""


@pytest.mark.slow
async def test_what_was_paid_before_a_kill_is_not_paid_again(site: Site) -> None:
    code = await site.ended(after=40, number=signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert site.paid.total() < PROMPTS * len(PRICES)
    code, out, err = await site.run()
    assert (code, err) == (0, "")
    assert max(site.paid.values()) == 1
    assert "calls in doubt" in out
    assert site.paid.total() >= PROMPTS * len(PRICES) - CONCURRENCY
    code, out, _ = await site.run("--budget-usd", "1", "--replace", "--ask-again")
    assert code == 0
    assert f"{PROMPTS} prompts are complete" in out
    assert site.paid.total() <= PROMPTS * len(PRICES) + CONCURRENCY
    assert len(site.paid) == PROMPTS * len(PRICES)


@pytest.mark.slow
async def test_an_interrupt_waits_for_what_is_paid_and_says_how_to_go_on(site: Site) -> None:
    process = await site.start()

    async def is_under_way() -> bool:
        return site.paid.total() >= 20

    await until(is_under_way)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert "run the same command again" in err.decode()
    before = site.paid.total()
    code, out, _ = await site.run()
    assert code == 0
    assert f"{before} settled before" in out
    assert "in doubt" not in out
    assert set(site.paid.values()) == {1}
    assert f"{PROMPTS} prompts are complete" in out


@pytest.mark.slow
async def test_a_second_interrupt_waits_for_nothing_and_leaves_what_was_cut_in_doubt(
    site: Site,
) -> None:
    process = await site.start()

    async def is_under_way() -> bool:
        return site.paid.total() >= 20

    await until(is_under_way)
    for upstream in site.upstreams:
        upstream.profile = replace(SLOW, first_token_ms=15_000)
    seen = site.paid.total()

    async def all_hang() -> bool:
        return site.paid.total() >= seen + CONCURRENCY

    await until(all_hang)
    process.send_signal(signal.SIGINT)
    await asyncio.sleep(0.3)
    assert process.returncode is None
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        await process.communicate()
    assert process.returncode == 130
    for upstream in site.upstreams:
        upstream.profile = SLOW
    _, out, _ = await site.run()
    assert "in_doubt" in out
    assert max(site.paid.values()) == 1


@pytest.mark.slow
async def test_the_budget_holds_over_runs_and_kills(site: Site) -> None:
    """A prompt costs 0.0004 USD on all arms, and 0.0008 or so at most."""
    budget_usd = 0.004
    words = ("--budget-usd", str(budget_usd))
    await site.ended(*words, after=8, number=signal.SIGKILL)
    code, out, _ = await site.run(*words)
    assert code == 0
    assert "left out: reasoning: budget" in out
    assert site.paid_usd <= budget_usd
    assert site.paid_usd > budget_usd / 2
    before = site.paid.total()
    await site.run(*words, "--replace")
    assert site.paid.total() == before


async def test_a_router_serves_what_was_calibrated_and_the_learner_goes_on(site: Site) -> None:
    code, out, _ = await site.run()
    assert code == 0
    assert "published as snapshot 1" in out
    paid_usd = site.paid_usd
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(running_router(site.config, {}))
        await stack.enter_async_context(running_learner(site.config, {}))
        await running.storage.tenants.create(Tenant("test"), hash_key(KEY))
        target = f"127.0.0.1:{running.port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(target))
        stub = router_pb2_grpc.RouterServiceStub(channel)
        metadata = (("authorization", f"Bearer {KEY}"),)

        async def ask(number: int) -> router_pb2.Receipt:
            text = f"What is {number} plus one?"
            return (await stub.Complete(request(text), metadata=metadata)).receipt

        async def is_served() -> bool:
            return (await ask(100)).policy_version >= 1

        await until(is_served)
        receipts = [await ask(number) for number in range(200, 220)]
        assert [r.arm for r in receipts].count("reasoning") >= 18

        async def is_newer() -> bool:
            return (await ask(101)).policy_version > 1

        await until(is_newer)
        stored = await running.storage.snapshots.load()
        assert stored is not None
        factory = LearnerStateFactory(site.config, catalog_of(site.config))
        learned = factory.restore(stored.payload)
        plans = len(catalog_of(site.config).plans)
        assert learned.policy.learned > PROMPTS * plans
        assert learned.evidence.calibrated == PROMPTS
        assert learned.evidence.calibrated_usd == pytest.approx(paid_usd)


async def test_what_is_lacking_is_found_before_anything_is_paid(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = await site.run("--budget-usd", "1", "--out", "/proc/x.bin")
    assert code == 1
    assert err.startswith("/proc/x.bin: name a file that this process can write")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("ADAPTIVE_ROUTER_MODEL_DIR", raising=False)
    code, _, err = await site.run("--budget-usd", "1", "--out", str(tmp_path / "x.bin"))
    assert code == 1
    assert "model" in err
    assert site.paid.total() == 0
    left = await asyncio.to_thread(lambda: list(tmp_path.glob("*x.bin*")))
    assert left == []


@pytest.mark.slow
async def test_a_learner_at_work_and_an_older_snapshot_are_left_alone(site: Site) -> None:
    async with running_learner(site.config, {}) as learner:

        async def leads() -> bool:
            taken = await learner.storage.lease.acquire("test", 1_000) is None
            await learner.storage.lease.release("test")
            return taken

        await until(leads)
        code, _, err = await site.run()
        assert code == 1
        assert err.startswith("a learner is at work")
    assert site.paid.total() == 0
    assert (await site.run())[0] == 0
    code, _, err = await site.run()
    assert code == 1
    assert err.startswith("a snapshot exists already")
    code, out, _ = await site.run("--budget-usd", "1", "--replace")
    assert code == 0
    assert "published as snapshot 2" in out
    async with opened_storage(site.config, {}) as storage:
        assert await storage.snapshots.latest_version() == 2


@pytest.mark.slow
async def test_a_judged_plan_is_served_by_a_gate_that_calibrating_taught(site: Site) -> None:
    text = _with_checked(site.folder)
    code, out, _ = await site.run("--budget-usd", "1", "--out", str(site.folder / "snapshot"))
    assert code == 0
    assert f"{PROMPTS} prompts are complete" in out
    config = parse_config(text, "router.yaml", {})
    learned = LearnerStateFactory(config, catalog_of(config)).restore(
        (site.folder / "snapshot").read_bytes()
    )
    assert learned.gates["checked"].learned == PROMPTS
    assert learned.policy.learned == 4 * PROMPTS


def _with_checked(folder: Path) -> str:
    plan = "checked: {rungs: [cheap, reasoning], second: fallback}"
    alone = ", ".join(f"{arm}: [{arm}]" for arm in PRICES)
    text = f"{(folder / 'router.yaml').read_text()}\nplans: {{{alone}, {plan}}}\n"
    (folder / "router.yaml").write_text(text)
    return text
