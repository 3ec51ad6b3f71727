"""What each arm and each plan came to on a prompt, in the terms the service learns in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from router.domain.catalog import Plan
from router.domain.errors import ProviderMalformed, ProviderTimeout
from router.gates.format_checks import PASSED, FormatCheckSettings, judge
from router.tools.calibrate.collect.asking import Reply
from router.tools.calibrate.collect.gathering import Case
from router.tools.calibrate.collect.ledger import Answered, Failed

_ARM_FAILED: Final = {error.reason.lower() for error in (ProviderMalformed, ProviderTimeout)}


@dataclass(frozen=True, slots=True)
class Result:
    """quality: None where the answer has no score. passed: a gate would have let it through."""

    quality: float | None
    cost_usd: float
    latency_ms: float
    failed: bool = False
    passed: bool = True


def arm_results(case: Case, gate: FormatCheckSettings) -> dict[str, Result]:
    """By arm; an arm whose answer is missing is absent.

    An arm that is away or turns the call away (a wrong key, a rate limit, a model that does not
    exist, a connection that breaks) says nothing of how good it is: it is absent too.
    """
    found = {arm: _result(case, arm, reply, gate) for arm, reply in case.replies.items()}
    return {arm: result for arm, result in found.items() if result is not None}


def _result(case: Case, arm: str, reply: Reply, gate: FormatCheckSettings) -> Result | None:
    if isinstance(reply, Answered):
        score = case.scores.get(arm)
        passed = judge(case.prompt.chat, reply.answer, gate) == PASSED
        quality = score.quality if score else None
        return Result(quality, reply.cost_usd, reply.latency_ms, passed=passed)
    if isinstance(reply, Failed) and reply.why in _ARM_FAILED:
        return Result(0.0, reply.cost_usd, reply.latency_ms, failed=True, passed=False)
    return None


def plan_result(plan: Plan, arms: Mapping[str, Result]) -> Result | None:
    """Of a plan without a gate of its own; None where a rung that is needed is missing.

    A ladder costs every rung that is climbed. As in the service: a rung that failed, or whose
    answer the checks send back, is followed by the next, and a weak answer is served when no
    stronger one could be had.
    """
    weak: Result | None = None
    cost_usd = latency_ms = 0.0
    for rung in plan.rungs:
        result = arms.get(rung)
        if result is None:
            return None
        cost_usd, latency_ms = cost_usd + result.cost_usd, latency_ms + result.latency_ms
        last = rung == plan.rungs[-1]
        if not result.failed and (result.passed or last):
            return replace(result, cost_usd=cost_usd, latency_ms=latency_ms)
        weak = weak if result.failed else result
    quality, failed = (weak.quality, False) if weak else (0.0, True)
    return Result(quality, cost_usd, latency_ms, failed=failed, passed=False)
