"""Values the storage suites write down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from router.domain.chat import Answer, FinishReason, ToolCall, Usage
from router.domain.records import (
    Attempt,
    AttemptOutcome,
    CachedAnswer,
    Choice,
    DecisionRecord,
    LoggedContext,
    Mode,
    WeightSet,
)
from router.ports.state import HealthPolicy

HEALTH = HealthPolicy(
    failures=3, cooldown_ms=200, max_cooldown_ms=1_000, probe_ms=300, max_retry_after_ms=2_000
)
MAX_EVENTS = 20
KEEP_EVENTS = 2
MAX_ENTRIES = 8
WINDOW_S = 3_600
WAIT_S = 60.0
NOON_S = 1_767_225_600.0 + 12 * 3_600  # 2026-01-01T12:00:00Z

CHOICE = Choice(
    plan="cheap",
    propensity=0.75,
    explored=False,
    probabilities=(("cheap", 0.75), ("reasoning", 0.25)),
    policy="default",
    policy_version=3,
    weights=WeightSet(1.0, 0.1, 0.01, 1.0),
    context=LoggedContext((0.5, 0.5), (0.1, -0.2), (1.0,), "v1"),
    expected=(("cheap", 0.6, 0.001, 0.5), ("reasoning", 0.9, 0.02, 0.4)),
)
ATTEMPT = Attempt("cheap", "d1", "m1", AttemptOutcome.ACCEPTED, "passed", 120.5, 10, 20, 0.0005)
RECORD = DecisionRecord(
    id="d-1",
    tenant="acme",
    created_ms=int(NOON_S * 1_000),
    mode=Mode.COMPLETE,
    session_id="s",
    choice=CHOICE,
    attempts=(ATTEMPT,),
    arm="cheap",
    deployment="d1",
    model="m1",
    cache_exact="e",
    cache_partition="p",
)
UNSETTLED = replace(RECORD, mode=Mode.DECIDE, attempts=(), settled=False)
ANSWER = Answer(
    "Grüße",
    FinishReason.TOOL_CALLS,
    Usage(3, 4),
    "m1",
    tool_calls=(ToolCall("c1", "add", '{"a": 1}'),),
    mean_logprob=-0.25,
)


def cached(text: str = "an answer") -> CachedAnswer:
    return CachedAnswer(replace(ANSWER, text=text), "cheap", "d1", "d-1", "exact-1")


@dataclass
class FakeTime:
    """Seconds since the epoch, moved by hand."""

    now_s: float = NOON_S

    def __call__(self) -> float:
        return self.now_s


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Waits for something that a time on the server's clock brings about."""
    deadline_s = time.monotonic() + WAIT_S
    while not await holds():
        assert time.monotonic() < deadline_s, "did not come about"
        await asyncio.sleep(0.005)
