"""Gates and promises taught by the gathered cases, and what each judged plan came to on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bandit.gates import Gate
from bandit.types import Context
from router.domain.catalog import Plan
from router.learning.cross_fit import School, Schooled
from router.learning.learner_state import LearnerState
from router.ports.observer import Observer
from router.tools.calibrate.analysis.plan_simulation import CaseTrial, Terms
from router.tools.calibrate.analysis.results import Result
from router.tools.calibrate.collect.gathering import Case

Priced = Mapping[str, Result]
"""By judged plan; absent where an answer that the plan may need is missing."""


@dataclass(frozen=True, slots=True)
class Curriculum:
    """fresh: gates by plan that have learned nothing."""

    terms: Terms
    fresh: Callable[[], Mapping[str, Gate]]


_NOTHING: Final[Priced] = {}


async def schooled(
    cases: Sequence[Case], contexts: Sequence[Context], learned: LearnerState, how: Curriculum
) -> list[Priced]:
    """One per case, found with gates that have not seen it; `learned` has seen all of them."""
    plans = how.terms.catalog.plans
    judged = [plan for plan in plans.values() if plan.is_judged]
    if not judged:
        return [_NOTHING] * len(cases)
    pairs = zip(cases, contexts, strict=True)
    trials = [CaseTrial(case, context, how.terms, learned.promises) for case, context in pairs]
    school = School(plans, lambda _: how.fresh(), Observer())
    found = await school.teach(learned.gates, trials)
    await school.promise(learned.promises, found)
    priced = {id(one.trial): await _priced(one, judged) for one in found}
    return [priced[id(trial)] for trial in trials]


async def _priced(one: Schooled[CaseTrial], plans: Sequence[Plan]) -> Priced:
    known = [plan for plan in plans if one.trial.knows(plan)]
    return {plan.name: one.trial.result(await one.trial.call(plan, one.gates)) for plan in known}
