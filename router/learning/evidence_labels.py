"""Lessons of bought evidence: for policies of every plan, for gates and promises of an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from bandit.gates import GateExample
from bandit.types import Outcome
from router.domain.catalog import Plan
from router.domain.events import ArmAnswer, EvidenceBought
from router.domain.logged_context import action_of, read_context
from router.domain.records import Choice, DecisionRecord
from router.learning.plan_results import CallResult, plan_result

PROMPT_DIGITS: Final = 13
"""Hexadecimal digits of a decision's id that number its prompt: 52 bits."""


def prompt_number(decision_id: str) -> int:
    """Returns a number > 0 by which the outcomes of one prompt are known, below 2**53.

    >>> prompt_number("018bcfe568007000800000000000000a"), prompt_number("odd")
    (10, 1)
    """
    try:
        return int(decision_id[-PROMPT_DIGITS:], 16) or 1
    except ValueError:
        return 1


def arm_results(event: EvidenceBought) -> dict[str, CallResult]:
    """Returns results by arm, of those whose cost is known."""
    return {
        answer.arm: CallResult(
            answer.quality,
            answer.cost_usd,
            answer.latency_ms,
            failed=answer.failed,
            passed=answer.passed,
        )
        for answer in event.arms
        if answer.cost_usd is not None
    }


def outcomes_of_evidence(
    event: EvidenceBought,
    record: DecisionRecord,
    choice: Choice,
    plans: Mapping[str, Plan],
    weight: float,
) -> list[Outcome]:
    """Returns an outcome for each plan whose result follows from its arms'; no gate is judged.

    The one that was served is a plan whose gate ran: what it came to is known. Those with a quality
    are one prompt where there are two of them.
    """
    arms = arm_results(event)
    found = {name: _result(plan, arms, record, choice) for name, plan in plans.items()}
    known = {name: result for name, result in found.items() if result is not None}
    rated = [name for name, result in known.items() if result.quality is not None]
    prompt = prompt_number(record.id) if len(rated) > 1 else 0
    context, inputs = read_context(choice.context), {a.arm: a.input_usd for a in event.arms}
    outcomes: list[Outcome] = []
    for name, result in known.items():
        action = action_of(plans[name], choice.prices)
        one = Outcome(
            action=action,
            context=context,
            quality=result.quality,
            cost_usd=result.cost_usd,
            latency_ms=result.latency_ms,
            failed=result.failed,
            weight=weight,
        )
        if action.input_usd:
            one = replace(one, input_usd=inputs.get(plans[name].rungs[0]) or None)
        if result.quality is not None and prompt:
            one = replace(one, prompt=prompt, of=len(rated))
        outcomes.append(one)
    return outcomes


def _result(
    plan: Plan, arms: Mapping[str, CallResult], record: DecisionRecord, choice: Choice
) -> CallResult | None:
    if not plan.is_judged:
        return plan_result(plan, arms)
    served = arms.get(record.arm)
    if plan.name != choice.plan or served is None:
        return None
    return replace(served, cost_usd=record.cost_usd, latency_ms=record.latency_ms)


def examples_of_evidence(
    event: EvidenceBought, plan: Plan, blank: GateExample
) -> Iterator[GateExample]:
    """Yields what the first answer was worth, if it is the one that was scored, and the strong.

    An arm that is asked again gives another answer than the one whose signals the gate saw.
    """
    answers = {answer.arm: answer for answer in event.arms}
    first, strong = answers.get(plan.rungs[0]), answers.get("".join(plan.rungs[1:2]))
    first_ok = first.quality if first is not None and first.served else None
    strong_ok = None if strong is None else strong.quality
    if first_ok is not None or strong_ok is not None:
        yield replace(blank, first_ok=first_ok, strong_ok=strong_ok)


def served_answer(event: EvidenceBought) -> ArmAnswer | None:
    """Returns the answer that the caller got, if it has a score."""
    served = (answer for answer in event.arms if answer.served and answer.quality is not None)
    return next(served, None)
