"""`doctor` beside a router that serves: what it says as the service lives, by its real command."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from adaptive_router.v1 import router_pb2, router_pb2_grpc

from demo.upstream import INSTANT, Upstream, served
from router.adapters.storage import Storage
from router.app.learner import running_learner
from router.app.server import running_router
from router.config import Config, load_config
from router.domain.tenancy import KeyFacts
from router.domain.tenants import Reservation, Tenant, TenantLimits, hash_key
from tests.e2e.conftest import ARMS, GOOD, KEY, request, until
from tests.e2e.wire import on_uvloop

BEARER = (("authorization", f"Bearer {KEY}"),)
OUTCOMES = 40


@dataclass(frozen=True, slots=True)
class Site:
    """A router that serves; a learner is beside it where a test starts one."""

    file: Path
    config: Config
    storage: Storage
    stub: router_pb2_grpc.RouterServiceStub
    upstreams: dict[str, Upstream]

    async def doctor(self, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """Returns its exit status, and findings by check."""
        code, told = await self.run("doctor", "--json", *words)
        document = json.loads(told)
        assert document["state"] == ("ok", "warn", "fail")[code]
        findings = document["findings"]
        assert all(list(f) == ["check", "state", "text", "fix", "facts"] for f in findings)
        assert all((f["state"] == "ok") == (f["fix"] is None) for f in findings)
        return code, {finding["check"]: finding for finding in findings}

    async def run(self, *words: str) -> tuple[int, str]:
        named = os.environ | {"ADAPTIVE_ROUTER_CONFIG": str(self.file)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "router", *words, env=named, stdout=-1, stderr=-1
        )
        told, errors = await process.communicate()
        assert process.returncode in (0, 1, 2), errors.decode()
        assert "Traceback" not in errors.decode()
        return process.returncode, told.decode()

    async def rate(self, texts: Iterator[str], arm: str, quality: float) -> None:
        asked = request(next(texts), arm=arm, no_cache=True)
        done = await self.stub.Complete(asked, metadata=BEARER)
        said = router_pb2.FeedbackRequest(decision_id=done.receipt.decision_id, quality=quality)
        await self.stub.Feedback(said, metadata=BEARER)

    async def learned(self) -> None:
        async def is_learned() -> bool:
            stored = await self.storage.snapshots.load()
            return stored is not None and not await self.storage.events.backlog(stored.position)

        await until(is_learned)


@asynccontextmanager
async def site(folder: Path, config: Callable[..., str]) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        upstreams = {arm: Upstream(arm, INSTANT, lambda _: GOOD) for arm in ARMS}
        ports = {
            arm: await stack.enter_async_context(served(upstream))
            for arm, upstream in upstreams.items()
        }
        file = folder / "router.yaml"
        file.write_text(config(folder, ports))
        parsed = load_config(file, {})
        running = await stack.enter_async_context(running_router(parsed, {}))
        await running.storage.tenants.create(Tenant("test"), hash_key(KEY))
        channel = await stack.enter_async_context(
            grpc.aio.insecure_channel(f"127.0.0.1:{running.port}")
        )
        stub = router_pb2_grpc.RouterServiceStub(channel)
        yield Site(file, parsed, running.storage, stub, upstreams)


@on_uvloop
async def test_evidence_grows_until_no_plan_is_chosen_on_priors(
    tmp_path: Path, config: Callable[..., str], texts: Iterator[str], model_dir: Path
) -> None:
    del model_dir
    async with site(tmp_path, config) as made:
        await made.rate(texts, "cheap", 1.0)
        code, found = await made.doctor()
        assert code == 2
        assert found["learning.learner"]["state"] == "fail"
        assert (
            found["learning.learner"]["facts"]["backlog"]
            == found["learning.lag"]["facts"]["events"]
        )
        assert "every plan is chosen on priors" in found["learning.snapshot"]["text"]

        async with running_learner(made.config, {}):
            await made.learned()
            code, found = await made.doctor()
            assert code == 1
            assert found["learning.learner"]["state"] == "ok"
            assert found["learning.feedback"]["state"] == "ok"
            evidence = found["learning.evidence"]
            assert evidence["state"] == "warn"
            assert evidence["text"].startswith("these plans are chosen on priors: cheap, reasoning")
            assert evidence["facts"]["arms"]["cheap"] == {"answers": 1, "judged": 1}
            assert 0 < evidence["facts"]["outcomes"]["cheap"] < 10
            assert evidence["facts"]["outcomes"]["reasoning"] == 0

            for _ in range(OUTCOMES):
                await asyncio.gather(*(made.rate(texts, arm, 0.9) for arm in ARMS))
            await made.learned()
            code, found = await made.doctor()
            evidence = found["learning.evidence"]
            assert evidence["facts"]["arms"]["reasoning"] == {
                "answers": OUTCOMES,
                "judged": OUTCOMES,
            }
            assert evidence["facts"]["outcomes"]["reasoning"] > 10
            assert "reasoning," not in evidence["text"].partition("(")[0]
            assert found["learning.snapshot"]["facts"]["outcomes"] >= OUTCOMES


@on_uvloop
async def test_a_day_without_feedback_names_the_plans(
    tmp_path: Path, config: Callable[..., str], texts: Iterator[str], model_dir: Path
) -> None:
    del model_dir
    async with site(tmp_path, config) as made, running_learner(made.config, {}):
        await made.stub.Complete(request(next(texts)), metadata=BEARER)
        await made.learned()
        code, found = await made.doctor()
        assert code == 1
        assert found["learning.feedback"]["text"] == (
            "no feedback for 24 h: these plans are chosen on priors: "
            + ", ".join(found["learning.evidence"]["facts"]["outcomes"])
        )
        assert found["learning.feedback"]["facts"]["last_feedback_at"] is None
        assert "send Feedback" in found["learning.feedback"]["fix"]


@on_uvloop
async def test_budgets_near_their_end_and_keys_that_expire(
    tmp_path: Path, config: Callable[..., str], model_dir: Path
) -> None:
    del model_dir
    async with site(tmp_path, config) as made, running_learner(made.config, {}):
        tenants, quota = made.storage.tenants, made.storage.quota
        now_ms = await tenants.now_ms()
        for name, limits, spent_usd, lasts_d in (
            ("near", TenantLimits(monthly_usd=10.0), 9.0, 3),
            ("spent", TenantLimits(daily_usd=1.0), 1.0, 30),
            ("well", TenantLimits(daily_usd=1.0), 0.5, 0),
            ("late", TenantLimits(), 0.0, -1),
        ):
            facts = KeyFacts("last", now_ms, now_ms + lasts_d * 86_400_000 if lasts_d else 0)
            await tenants.create(Tenant(name, limits), hash_key(name), facts)
            held = Reservation(name, name, 0, spent_usd)
            await quota.reserve(Tenant(name, limits), held)
            await quota.settle(held, 0, spent_usd)
        code, told = await made.run("doctor", "--json")
        assert code == 1
        texts = {f["text"]: f for f in json.loads(told)["findings"] if f["state"] == "warn"}
        near = texts["tenant near has used 90% of its monthly budget of 10 USD"]
        assert near["facts"] == {"tenant": "near", "limit_usd": 10.0, "left_usd": 1.0}
        assert "tenant limit near --monthly-usd" in near["fix"]
        assert "tenant spent has used 100% of its daily budget of 1 USD: it is refused" in texts
        expiring = f"key {hash_key('near')[:12]} of tenant near expires in "
        assert [text for text in texts if text.startswith(expiring)]
        assert "every key of tenant late has expired" in texts
        assert not [text for text in texts if "tenant well" in text or "tenant test" in text]


@on_uvloop
async def test_providers_that_are_ill_or_refuse(
    tmp_path: Path, config: Callable[..., str], texts: Iterator[str], model_dir: Path
) -> None:
    del model_dir
    async with site(tmp_path, config) as made, running_learner(made.config, {}):
        await made.storage.health.failed("cheap-1", 60_000)
        _, found = await made.doctor("--probe")
        circuit = found["provider.cheap-1.circuit"]
        assert (circuit["state"], "left alone" in circuit["text"]) == ("warn", True)
        assert {found[f"provider.{arm}-1.call"]["state"] for arm in ARMS} == {"ok"}
        made.upstreams["reasoning"].down = True
        code, found = await made.doctor("--probe")
        assert code >= 1
        assert found["provider.reasoning-1.call"]["state"] != "ok"
        assert found["provider.cheap-1.call"]["state"] == "ok"
        del texts


@on_uvloop
async def test_people_read_a_line_for_each_finding_and_what_to_do(
    tmp_path: Path, config: Callable[..., str], model_dir: Path
) -> None:
    del model_dir
    async with site(tmp_path, config) as made:
        code, told = await made.run("doctor")
        assert code == 1
        lines = told.splitlines()
        assert "warn learning.learner: no learner works" in lines
        after = lines[lines.index("warn learning.learner: no learner works") + 1]
        assert after.startswith("     to do: run `serve`")
        assert f"ok   config: {made.file} is well-formed" in lines
