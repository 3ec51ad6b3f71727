"""A caller may leave while the gate of its plan still looks at the answer."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field, replace

import pytest

from router.config import parse_config
from router.config.values import catalog_of
from router.domain.chat import Answer, Format, ResponseFormat
from router.domain.events import Decided, FeedbackGiven
from router.domain.records import AttemptOutcome, CacheStatus
from router.gates.verifier_breaker import VerifierBreaker, VerifierBreakerSettings
from router.learning.gate_examples import examples_of
from router.learning.implicit_feedback import sign_of
from router.learning.rewards import RewardSettings, outcomes_of
from router.ports.observer import Observer
from router.ports.upstream import VerifierCase
from tests.router.serving.conftest import ANSWER, CONFIG, Core, asked
from tests.router.serving.test_attempts import complete, stream

SETTINGS = RewardSettings()
FIRST_USD = 15e-6
FALLBACK = """\
  fallback: {deployments: [{name: other, provider: openai, base_url: 'http://127.0.0.1:9/v1',
    model: m, price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}]}
"""
JUDGED = """
plans: {checked: {rungs: [cheap, reasoning], second: fallback, gate: agreement}}
policy: {name: fixed, fixed: checked, exploration_floor: 0.0001}
judging: {audit_share: 0, verifier: {url: 'http://127.0.0.1:9/v'}}
"""
TEXT = CONFIG.replace("attempts:", f"{FALLBACK}attempts:").replace("enabled: false", "") + JUDGED


@dataclass
class Gate:
    """The verifier, and the arm that gives the second opinion: one of them lets callers wait."""

    waits_for: str = ""
    looking: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0

    async def verify(self, case: VerifierCase, _: float) -> float | None:
        del case
        if self.waits_for == "verifier":
            await self._look()
        return None

    async def reply(self) -> Answer:
        self.calls += 1
        if self.waits_for == "second" and self.calls > 1:
            await self._look()
        return ANSWER

    async def _look(self) -> None:
        self.looking.set()
        await asyncio.sleep(60)


@pytest.fixture
def text() -> str:
    return TEXT


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def verifying(gate: Gate) -> VerifierBreaker:
    return VerifierBreaker(gate, Observer(), time.time, VerifierBreakerSettings(timeout_ms=60_000))


@pytest.mark.parametrize("waits_for", ["verifier", "second"])
@pytest.mark.parametrize("ask", [complete, stream])
async def test_cancelled_judging_is_charged_but_neither_cached_nor_learned(
    core: Core, gate: Gate, ask, waits_for: str
) -> None:
    core.provider.reply, gate.waits_for = gate.reply, waits_for
    asking = asyncio.create_task(ask(core, asked()))
    await asyncio.wait_for(gate.looking.wait(), 60)
    asking.cancel()
    await asyncio.wait({asking})
    (record,) = await core.records()

    first, *others = record.attempts
    assert (first.outcome, first.why) == (AttemptOutcome.CANCELLED, "unjudged")
    assert first.cost_usd == pytest.approx(FIRST_USD)
    assert [a.outcome for a in others] == [AttemptOutcome.CANCELLED] * (waits_for == "second")
    assert (record.answered, record.arm) == (False, "")

    plans = catalog_of(parse_config(TEXT, "test.yaml", {})).plans
    learned = outcomes_of(Decided(record), record, plans, SETTINGS)
    known = [(outcome.cost_usd, outcome.quality, outcome.failed) for outcome in learned]
    # The second opinion was sent and not counted: its cost is a guess, which is not learned.
    guessed = [attempt.guessed for attempt in record.attempts] == [False, True]
    assert known == ([] if guessed else [(record.cost_usd, None, None)])
    assert guessed == (waits_for == "second")
    silence = FeedbackGiven(record.id, 0.8, by_default=True)
    assert outcomes_of(silence, record, plans, SETTINGS) == []
    for event in (Decided(record), silence):
        assert sign_of(event, record) is None
        assert examples_of(event, record, plans, SETTINGS) == []

    gate.waits_for = ""
    again = await core.service.complete(asked())
    assert again.record.cache is CacheStatus.MISS


@pytest.mark.parametrize("ask", [complete, stream])
async def test_a_second_opinion_that_is_still_checked_is_served_to_nobody_who_left(
    core: Core, ask
) -> None:
    checks, busy, came = core.checks, threading.Event(), []
    answer = replace(ANSWER, text="{}")

    async def reply() -> Answer:
        came.append(checks.done)
        if len(came) == 2:
            came.append(asyncio.ensure_future(checks.run("other", lambda: busy.wait(60))))
            await asyncio.sleep(0)
        return answer

    core.provider.reply = reply
    form = ResponseFormat(Format.JSON_SCHEMA, '{"type": "object"}')
    request = asked()
    asking = asyncio.create_task(
        ask(core, replace(request, chat=replace(request.chat, response_format=form)))
    )
    try:
        async with asyncio.timeout(60):
            while len(came) < 3:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # it waits for its check
        asking.cancel()
        await asyncio.wait({asking})
    finally:
        busy.set()
    await came[2]
    (record,) = await core.records()
    assert [(a.arm, a.outcome, a.why, a.guessed) for a in record.attempts] == [
        ("cheap", AttemptOutcome.CANCELLED, "unjudged", False),
        ("fallback", AttemptOutcome.CANCELLED, "unjudged", False),
    ]
    assert (record.answered, record.arm) == (False, "")
    assert record.cost_usd == pytest.approx(sum(a.cost_usd for a in record.attempts))
    plans = catalog_of(parse_config(TEXT, "test.yaml", {})).plans
    learned = outcomes_of(Decided(record), record, plans, SETTINGS)
    assert [(outcome.quality, outcome.failed) for outcome in learned] == [(None, None)]
