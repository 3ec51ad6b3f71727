"""The result of a plan without a gate, put together from those of its arms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from router.domain.catalog import Plan


@dataclass(frozen=True, slots=True)
class CallResult:
    """quality: None where the answer has no score. passed: the format checks accept the answer."""

    quality: float | None
    cost_usd: float
    latency_ms: float
    failed: bool = False
    passed: bool = True


def plan_result(plan: Plan, arms: Mapping[str, CallResult]) -> CallResult | None:
    """Returns the result of a plan without a gate; None if a needed rung is missing.

    As in the service, a ladder costs every rung that is called: a rung that failed, or whose answer
    the checks reject, is followed by the next, and a weak answer is served when no stronger one
    could be had.
    """
    weak: CallResult | None = None
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
    return CallResult(quality, cost_usd, latency_ms, failed=failed, passed=False)
