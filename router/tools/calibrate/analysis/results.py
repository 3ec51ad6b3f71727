"""Results of each arm and plan on a prompt, in the service's terms, and training on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bandit.types import Context, Outcome, Policy
from router.domain.catalog import Plan
from router.domain.errors import ProviderMalformed, ProviderTimeout
from router.domain.logged_context import Priced, action_of
from router.gates.format_checks import PASSED, FormatCheckSettings, judge
from router.learning.plan_results import CallResult
from router.tools.calibrate.collect.arm_client import Reply
from router.tools.calibrate.collect.collector import CollectedPrompt
from router.tools.calibrate.collect.journal import Answered, Failed

_ARM_FAILED: Final = {error.reason.lower() for error in (ProviderMalformed, ProviderTimeout)}


@dataclass(frozen=True, slots=True)
class PromptResults:
    """The results on one prompt by plan and by arm; absent where not enough is known.

    prices: of the plans, as a choice logs them.
    """

    context: Context
    plans: Mapping[str, CallResult]
    arms: Mapping[str, CallResult]
    prices: Priced = ()


def arm_results(collected: CollectedPrompt, checks: FormatCheckSettings) -> dict[str, CallResult]:
    """Returns results by arm; an arm without an answer is absent.

    An arm that is down or refuses the call (a wrong key, a rate limit, an unknown model, a broken
    connection) shows nothing of its quality: it is absent too.
    """
    found = {
        arm: _result(collected, arm, reply, checks) for arm, reply in collected.replies.items()
    }
    return {arm: result for arm, result in found.items() if result is not None}


def _result(
    collected: CollectedPrompt, arm: str, reply: Reply, checks: FormatCheckSettings
) -> CallResult | None:
    if isinstance(reply, Answered):
        score = collected.scores.get(arm)
        passed = judge(collected.prompt.chat, reply.answer, checks) == PASSED
        quality = score.quality if score else None
        return CallResult(quality, reply.cost_usd, reply.latency_ms, passed=passed)
    if isinstance(reply, Failed) and reply.why in _ARM_FAILED:
        return CallResult(0.0, reply.cost_usd, reply.latency_ms, failed=True, passed=False)
    return None


def plan_outcomes(
    results: PromptResults, plans: Mapping[str, Plan], number: int = 0
) -> list[Outcome]:
    """Returns an outcome per plan, in their order; every plan is tried, so propensities are 1.

    number: of the prompt; 0 keeps it to itself that they are of one.
    """
    judged = sum(result.quality is not None for result in results.plans.values())
    share = (number, judged) if judged > 1 else (0, 0)
    return [
        Outcome(
            action=action_of(plans[name], results.prices),
            context=results.context,
            quality=result.quality,
            cost_usd=result.cost_usd,
            latency_ms=result.latency_ms,
            failed=result.failed,
            prompt=share[0],
            of=share[1],
        )
        for name, result in results.plans.items()
    ]


def trained(
    fresh: Callable[[], Policy],
    prompts: Sequence[PromptResults],
    plans: Mapping[str, Plan],
    rng: np.random.Generator,
) -> Policy:
    """Returns a fresh policy trained once on every prompt, in random order."""
    policy = fresh()
    for index in rng.permutation(len(prompts)).tolist():
        policy.learn(plan_outcomes(prompts[index], plans, index + 1))
    return policy
