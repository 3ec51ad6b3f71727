"""Gates and promises taught by the gathered cases, and what each judged plan came to on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bandit.steps import Gate
from bandit.types import Context
from router.calibrate.gathering import Case
from router.calibrate.results import Result
from router.calibrate.trying import CaseTrial, Terms
from router.core.arms import Plan
from router.core.judging.learned import Learned
from router.core.judging.schooling import School, Schooled
from router.core.observer import NullObserver

Priced = Mapping[str, Result]
"""By judged plan; absent where an answer that the plan may need is missing."""


@dataclass(frozen=True, slots=True)
class Curriculum:
    """fresh: gates by plan that have learned nothing."""

    terms: Terms
    fresh: Callable[[], Mapping[str, Gate]]


_NOTHING: Final[Priced] = {}


async def schooled(
    cases: Sequence[Case], contexts: Sequence[Context], learned: Learned, how: Curriculum
) -> list[Priced]:
    """One per case, found with gates that have not seen it; `learned` has seen all of them."""
    plans = how.terms.catalogue.plans
    judged = [plan for plan in plans.values() if plan.is_judged]
    if not judged:
        return [_NOTHING] * len(cases)
    pairs = zip(cases, contexts, strict=True)
    trials = [CaseTrial(case, context, how.terms, learned.promises) for case, context in pairs]
    school = School(plans, lambda _: how.fresh(), NullObserver())
    found = await school.teach(learned.gates, trials)
    await school.promise(learned.promises, found)
    priced = {id(one.trial): await _priced(one, judged) for one in found}
    return [priced[id(trial)] for trial in trials]


async def _priced(one: Schooled[CaseTrial], plans: Sequence[Plan]) -> Priced:
    known = [plan for plan in plans if one.trial.knows(plan)]
    return {plan.name: one.trial.result(await one.trial.call(plan, one.gates)) for plan in known}
