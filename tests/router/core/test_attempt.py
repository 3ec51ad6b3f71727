"""What one call of a deployment leaves behind."""

from __future__ import annotations

import pytest

from router.core.calls import Call
from router.core.chat import Answer
from router.core.records import AttemptOutcome
from tests.router.core.conftest import Core, asked


async def complete(core: Core, call: Call) -> None:
    await core.service.complete(call)


async def stream(core: Core, call: Call) -> None:
    async for _ in core.service.stream(call):
        pass


@pytest.mark.parametrize("ask", [complete, stream])
async def test_what_nobody_expected_is_one_failed_attempt(core: Core, ask) -> None:
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
