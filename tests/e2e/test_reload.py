"""Arms come, go and change their names while requests are served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
import pytest_asyncio

from bandit.context.context_map import ContextMap
from bandit.context.fitting import MIN_PROMPTS
from demo.upstream import INSTANT, Upstream
from router.app.learner import running_learner
from router.app.refitter import S_PER_H, Refitter
from router.app.reloading import ConfigSource
from router.app.server import running_router
from router.config import parse_config
from router.domain.events import Decided
from router.domain.tenants import Tenant, hash_key
from router.ports.observer import Observer
from router.ports.survey import EmbeddingSample
from tests.e2e.conftest import ARMS, GOOD, KEY, Router, learned, served, until

RENAMED = "thinker"


@dataclass(slots=True)
class Site:
    """A router that watches its file. text: of a config with all arms."""

    router: Router
    path: Path
    text: str

    def write(self, text: str) -> None:
        """Replace the file in one step, as a mounted ConfigMap changes."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.path)

    async def knows(self, arm: str) -> bool:
        try:
            await self.router.complete("Who is there?", arm=arm)
        except grpc.aio.AioRpcError as error:
            return error.code() is not grpc.StatusCode.INVALID_ARGUMENT
        return True

    async def forgot(self, arm: str) -> bool:
        return not await self.knows(arm)

    async def expected(self, text: str) -> dict[str, float]:
        """Quality by plan."""
        done = await self.router.complete(text, no_cache=True)
        told = await self.router.decision(done.receipt.decision_id)
        return {plan.plan: plan.expected_quality for plan in told.plans}

    async def taught(self, texts: Iterator[str], arm: str, quality: float, times: int) -> None:
        for _ in range(times):
            done = await self.router.complete(next(texts), arm=arm)
            await self.router.feedback(done.receipt.decision_id, quality)


def without(text: str, arm: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith(f"  {arm}:"))


@pytest_asyncio.fixture
async def site(
    request: pytest.FixtureRequest, tmp_path: Path, config: Callable[..., str]
) -> AsyncIterator[Site]:
    """Two arms at first."""
    request.getfixturevalue("model_dir")
    async with AsyncExitStack() as stack:
        upstreams = {arm: Upstream(arm, INSTANT, lambda _: GOOD) for arm in ARMS}
        ports = {arm: await stack.enter_async_context(served(up)) for arm, up in upstreams.items()}
        text = config(tmp_path, ports).replace("metrics_port: 0", "metrics_port: 0, reload_ms: 100")
        path = tmp_path / "router.yaml"
        path.write_text(without(text, "fallback"))
        parsed, source = parse_config(path.read_text(), "router.yaml", {}), ConfigSource(path)
        running = await stack.enter_async_context(running_router(parsed, {}, source))
        await stack.enter_async_context(running_learner(parsed, {}, source))
        target = f"127.0.0.1:{running.port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(target))
        await running.storage.tenants.create(Tenant("test"), hash_key(KEY))
        yield Site(Router(running.port, channel, upstreams, running.storage), path, text)


async def test_an_arm_comes_and_goes_while_requests_are_served(
    site: Site, texts: Iterator[str]
) -> None:
    stop, answered = asyncio.Event(), 0

    async def ask() -> None:
        nonlocal answered
        while not stop.is_set():
            await site.router.complete(next(texts), arm="cheap")
            answered += 1

    await site.taught(texts, "cheap", 0.0, 12)
    await learned(site.router, texts)
    before = (await site.expected("What is known?"))["cheap"]
    asking = asyncio.create_task(ask())
    assert not await site.knows("fallback")
    site.write(site.text)
    await until(lambda: site.knows("fallback"))
    await site.taught(texts, "fallback", 0.0, 12)
    stop.set()
    await asking
    await learned(site.router, texts)
    after = await site.expected("What is known?")
    assert before < 0.5
    assert after["cheap"] == pytest.approx(before, abs=0.1)
    assert after["fallback"] < 0.5
    assert answered > 0
    site.write(without(site.text, "fallback"))
    await until(lambda: site.forgot("fallback"))
    assert "fallback" not in await site.expected("Who is left?")


async def test_an_arm_that_is_renamed_keeps_what_was_learned(
    site: Site, texts: Iterator[str]
) -> None:
    await site.taught(texts, "reasoning", 0.0, 6)
    late = await site.router.complete(next(texts), arm="reasoning")
    await learned(site.router, texts)
    before = (await site.expected("What is known?"))["reasoning"]
    renamed = without(site.text, "fallback").replace("  reasoning:", f"  {RENAMED}:")
    site.write(f"{renamed}\nrenamed: {{reasoning: {RENAMED}}}\n")
    await until(lambda: site.knows(RENAMED))
    after = await site.expected("What is known?")
    assert before < 0.5
    assert after[RENAMED] == pytest.approx(before, abs=0.1)
    assert "reasoning" not in after
    # Decided under its earlier name, judged under today's.
    await site.router.feedback(late.receipt.decision_id, 1.0)
    await learned(site.router, texts)
    assert (await site.expected("What is known?"))[RENAMED] > after[RENAMED]


async def test_a_file_that_is_wrong_changes_nothing(
    site: Site, texts: Iterator[str], capfd: pytest.CaptureFixture[str]
) -> None:
    written = ""

    async def is_told() -> bool:
        nonlocal written
        written += "".join(capfd.readouterr())
        return "config_refused" in written

    site.write(site.text.replace("price:", "api_key: sk-secret, prize:"))
    await until(is_told)
    assert "api_key" in written
    assert "sk-secret" not in written
    assert not await site.knows("fallback")
    await site.router.complete(next(texts), arm="cheap")
    site.write(site.text)
    await until(lambda: site.knows("fallback"))


class TestContextMap:
    """Fitted anew in the background."""

    @pytest.fixture
    def sections(self, tmp_path: Path) -> str:
        return (
            f"policy: {{context_map: {tmp_path}/context.npz}}\n"
            f"map: {{sample_embeddings: {2 * MIN_PROMPTS}, refit_every_h: 1}}\n"
            "cache: {enabled: false}"
        )

    async def test_it_takes_over_and_what_was_learned_stays(
        self, site: Site, texts: Iterator[str], tmp_path: Path
    ) -> None:
        storage, file, now_s = site.router.storage, tmp_path / "context.npz", 0.0
        config = parse_config(site.text, "router.yaml", {})
        refitter = Refitter(config, storage.survey, Observer(), lambda: now_s)
        await site.taught(texts, "cheap", 0.0, 12)
        late = await site.router.complete(next(texts), arm="cheap")
        await learned(site.router, texts)
        before = (await site.expected("What is known?"))["cheap"]
        await refitter.step()
        assert not file.exists()  # a dozen prompts are too few
        await _sampled(site)
        await refitter.step()
        version = ContextMap.load(file).version
        assert version != ContextMap.default().version

        async def is_used() -> bool:
            await site.router.complete(next(texts))
            events = [event for _, event in await storage.events.read("0", 10_000, 0)]
            choices = [e.record.choice for e in events if isinstance(e, Decided)]
            return choices[-1] is not None and choices[-1].context.version == version

        await until(is_used)
        await learned(site.router, texts)
        assert (await site.expected("What is known?"))["cheap"] == pytest.approx(before, abs=0.1)
        assert not (await site.router.feedback(late.receipt.decision_id, 0.0)).already_recorded
        await learned(site.router, texts)
        written = file.stat()
        now_s = written.st_mtime + S_PER_H - 1
        await refitter.step()
        assert file.stat().st_mtime_ns == written.st_mtime_ns
        now_s += 2
        await refitter.step()
        assert file.stat().st_mtime_ns > written.st_mtime_ns


async def _sampled(site: Site) -> None:
    """Store as many prompts of another kind as a fit needs."""
    shipped, rng = ContextMap.default(), np.random.default_rng(0)
    for n in range(MIN_PROMPTS):
        embedding = rng.standard_normal(shipped.centre.shape).astype(np.float32)
        embedding /= np.linalg.norm(embedding)
        features = [0.0] * len(shipped.feature_means)
        sample = EmbeddingSample.of(shipped.version, embedding, features)
        most = 2 * MIN_PROMPTS
        await site.router.storage.survey.keep_embedding(sample, most, (n + 0.5) / most)
