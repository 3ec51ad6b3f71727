"""One call of a deployment is counted and charged, even if it fails or its caller leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from router.app.wiring import RouterService
from router.config import parse_config
from router.config.values import catalog_of
from router.domain.catalog import Deployment
from router.domain.chat import Answer, Format, ResponseFormat, Usage
from router.domain.eligibility import Requirements
from router.domain.errors import (
    ConnectionsExhausted,
    Overloaded,
    ProviderError,
    ProviderRefusedRequest,
    ProviderTimeout,
    ProviderUnavailable,
    RouterError,
)
from router.domain.records import AttemptOutcome
from router.domain.requests import RouteRequest, RoutingOptions
from router.domain.tenants import Tenant
from router.gates.format_checks import FormatCheckSettings
from router.ports.state import Health, HealthPolicy
from router.runtime.fair_queue import CheckPool
from router.serving.attempts import DeploymentCaller, PlanRun
from router.serving.cascade import Cascade, CascadeSettings
from router.serving.deployment_stats import StatsBook
from tests.router.serving.conftest import ANSWER, CONFIG, Core, asked


def hurried() -> ProviderTimeout:
    """The error of a call that its caller's own limit ended."""
    error = ProviderTimeout("")
    error.hurried = True
    return error


async def complete(core: Core, call: RouteRequest) -> None:
    await core.service.complete(call)


async def stream(core: Core, call: RouteRequest) -> None:
    async for _ in core.service.stream(call):
        pass


@pytest.mark.parametrize("ask", [complete, stream])
async def test_attempt_fails_once_when_a_provider_raises_anything(core: Core, ask) -> None:
    async def breaks() -> Answer:
        raise ZeroDivisionError

    core.provider.reply = breaks
    with pytest.raises(ZeroDivisionError):
        await ask(core, asked("k"))
    (record,) = await core.records()
    whys = [(a.outcome, a.why) for a in record.attempts]
    assert whys == [(AttemptOutcome.FAILED, "internal")]
    where = {"arm": record.attempts[0].arm, "deployment": record.attempts[0].deployment}
    labels = where | {"outcome": "failed", "why": "internal"}
    assert core.metrics.registry.get_sample_value("adaptive_router_attempts_total", labels) == 1


@pytest.mark.parametrize("ask", [complete, stream])
@pytest.mark.parametrize(("cause", "charged"), [(None, True), (ProviderUnavailable(""), False)])
async def test_attempt_is_charged_when_the_caller_leaves(
    core: Core, ask, cause: ProviderError | None, *, charged: bool
) -> None:
    async def leaves() -> Answer:
        raise asyncio.CancelledError from cause

    core.provider.reply = leaves
    with pytest.raises(asyncio.CancelledError):
        await ask(core, asked())
    ((attempt,),) = [record.attempts for record in await core.records()]
    assert attempt.outcome is AttemptOutcome.CANCELLED
    assert (attempt.cost_usd > 0) is charged


async def half_open(core: Core) -> None:
    """Lets every circuit be half-open: the next caller probes."""
    names = core.service.deployments
    for name in names:
        for _ in range(HealthPolicy().failures):
            await core.storage.health.failed(name)
    for key in [core.keys.health(name) for name in names]:
        await core.storage.client.call("HSET", key, "open_until", "0")


@pytest.mark.parametrize("ask", [complete, stream])
@pytest.mark.parametrize(
    "end",
    [asyncio.CancelledError(), ProviderRefusedRequest(""), ConnectionsExhausted(""), hurried()],
    ids=lambda end: type(end).__name__,
)
async def test_a_probe_that_tells_nothing_is_given_back(
    core: Core, ask, end: BaseException
) -> None:
    async def ends() -> Answer:
        raise end

    await half_open(core)
    core.provider.reply = ends
    with pytest.raises((RouterError, asyncio.CancelledError)):
        await ask(core, asked())
    await core.background.drain()
    assert set((await core.storage.health.states(core.service.deployments)).values()) == {
        Health.HALF_OPEN
    }


async def test_a_probe_that_fails_opens_the_circuit_again(core: Core) -> None:
    async def ends() -> Answer:
        raise ProviderUnavailable("")

    await half_open(core)
    core.provider.reply = ends
    with pytest.raises(RouterError):
        await complete(core, asked())
    await core.background.drain()
    states = await core.storage.health.states(core.service.deployments)
    assert Health.OPEN in states.values()


@pytest.mark.parametrize("ask", [complete, stream])
async def test_a_short_limit_of_the_callers_never_opens_a_circuit(core: Core, ask) -> None:
    async def ends() -> Answer:
        raise hurried()

    core.provider.reply = ends
    for _ in range(5):
        with pytest.raises(RouterError):
            await ask(core, asked())
    await core.background.drain()
    states = await core.storage.health.states(core.service.deployments)
    assert set(states.values()) == {Health.CLOSED}


async def test_an_answer_without_a_count_is_marked_as_guessed(core: Core) -> None:
    async def uncounted() -> Answer:
        return replace(ANSWER, usage=Usage(10, 5, guessed=True))

    core.provider.reply = uncounted
    await complete(core, asked())
    (record,) = await core.records()
    assert [attempt.guessed for attempt in record.attempts] == [True]


def small() -> Deployment:
    return catalog_of(parse_config(CONFIG, "test.yaml", {})).arms["cheap"].deployments[0]


async def begun(
    core: Core, service: RouterService, count: int, tenant: str
) -> list[asyncio.Task[None]]:
    """Returns requests under way whose provider is silent."""
    asked_for = asyncio.Queue[None]()

    async def silent() -> Answer:
        asked_for.put_nowait(None)
        await asyncio.sleep(60)
        return ANSWER

    core.provider.reply = silent
    call = replace(asked(tenant=Tenant(tenant)), options=RoutingOptions(arm="cheap"))
    tasks = [asyncio.create_task(complete_by(service, call)) for _ in range(count)]
    for _ in range(count):
        await asyncio.wait_for(asked_for.get(), 60)
    core.provider.reply = answers
    return tasks


async def complete_by(service: RouterService, call: RouteRequest) -> None:
    await service.complete(call)


async def answers() -> Answer:
    return ANSWER


async def left(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_calls_under_way_keep_their_places_when_the_config_is_read_anew(core: Core) -> None:
    pinned = replace(asked(), options=RoutingOptions(arm="cheap"))
    bounded = CONFIG.replace("model: m,\n    timeout_ms: 20000", "model: m, max_in_flight: 2", 1)
    before, after = core.reloaded(bounded), core.reloaded(bounded)
    tasks = await begun(core, before, 2, "acme")
    with pytest.raises(Overloaded):
        await after.complete(pinned)
    await left(tasks)
    await after.complete(pinned)


async def test_one_tenant_alone_leaves_places_of_a_deployment(core: Core) -> None:
    bounded = CONFIG.replace("model: m,\n    timeout_ms: 20000", "model: m, max_in_flight: 20", 1)
    service = core.reloaded(bounded)
    tasks = await begun(core, service, 18, "loud")
    with pytest.raises(Overloaded):
        await service.complete(
            replace(asked(tenant=Tenant("loud")), options=RoutingOptions(arm="cheap"))
        )
    await service.complete(
        replace(asked(tenant=Tenant("quiet")), options=RoutingOptions(arm="cheap"))
    )
    await left(tasks)


def caller_of(
    core: Core, clock: Callable[[], float], checks: CheckPool, stats: StatsBook | None = None
) -> DeploymentCaller:
    return DeploymentCaller(
        providers={"openai": core.provider},
        health=core.storage.health,
        background=core.background,
        observer=core.metrics,
        clock=clock,
        gate=FormatCheckSettings(),
        checks=checks,
        stats=stats,
    )


def run_with_schema() -> PlanRun:
    schema = ResponseFormat(Format.JSON_SCHEMA, '{"type": "object"}')
    chat = replace(asked().chat, response_format=schema)
    return PlanRun(chat, Requirements.of(chat), ("cheap",), tenant="t")


async def test_answers_that_wait_for_a_check_are_no_silence_of_their_deployment(core: Core) -> None:
    checks, busy, now_s = CheckPool(), threading.Event(), [100.0]
    caller, deployment = caller_of(core, lambda: now_s[0], checks), small()
    answered = asyncio.Queue[None]()

    async def answers() -> Answer:
        answered.put_nowait(None)
        return ANSWER

    core.provider.reply = answers

    async def call(run: PlanRun) -> PlanRun:
        async for _ in caller.call(run, "cheap", deployment, live=False):
            pass
        return run

    try:
        blocking = asyncio.create_task(checks.run("other", lambda: busy.wait(60)))
        calls = [asyncio.create_task(call(run_with_schema())) for _ in range(4)]
        for _ in calls:
            await answered.get()
        await asyncio.sleep(0)
        now_s[0] += 5
        assert not caller.holds_back(run_with_schema(), deployment, 4_000)
        busy.set()
        runs = await asyncio.gather(*calls)
        assert [run.attempts[0].latency_ms for run in runs] == [0.0] * 4
        await blocking
    finally:
        busy.set()
        checks.close()


@pytest.mark.parametrize("taken", [True, False])
async def test_a_silent_deployment_is_asked_where_the_others_may_take_no_call(
    core: Core, *, taken: bool
) -> None:
    """taken: the one probe of the other's circuit, by another request."""
    catalog, stats = catalog_of(parse_config(CONFIG, "test.yaml", {})), StatsBook()
    for _ in range(3):
        stats.of(small()).silent("t", 60_000, 100.0)
    await half_open(core)
    if taken:
        assert await core.storage.health.admit("large")
    checks = CheckPool()
    try:
        caller = caller_of(core, lambda: 100.5, checks, stats)
        cascade = Cascade(
            catalog=catalog, caller=caller, clock=lambda: 100.5, settings=CascadeSettings()
        )
        health = {"small": Health.CLOSED, "large": Health.HALF_OPEN}
        run = replace(run_with_schema(), spares=("reasoning",), health=health)
        async for _ in cascade.run(run):
            pass
    finally:
        checks.close()
    assert run.answer == ANSWER
    await core.background.drain()
