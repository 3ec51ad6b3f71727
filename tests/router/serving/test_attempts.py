"""One call of a deployment is counted and charged, even if it fails or its caller leaves."""

from __future__ import annotations

import asyncio

import pytest

from router.domain.chat import Answer
from router.domain.errors import ProviderError, ProviderUnavailable
from router.domain.records import AttemptOutcome
from router.domain.requests import RouteRequest
from tests.router.serving.conftest import Core, asked


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
