"""From cases to what is printed and published; no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bandit.types import Context, Policy
from router.domain.catalog import Catalog
from router.gates.format_checks import FormatCheckSettings
from router.tools.calibrate.analysis.advice import Advice, Terms, advise
from router.tools.calibrate.analysis.cross_validation import LEAST_ROWS, cross_validated
from router.tools.calibrate.analysis.equal_quality import equal_quality
from router.tools.calibrate.analysis.frontier import (
    Utility,
    Way,
    hull_names,
    lines,
    over_hull,
    ways_of,
)
from router.tools.calibrate.analysis.mapping import regions
from router.tools.calibrate.analysis.results import arm_results, plan_result
from router.tools.calibrate.analysis.schooling import Priced
from router.tools.calibrate.analysis.training import Row, trained
from router.tools.calibrate.collect.asking import Missing
from router.tools.calibrate.collect.gathering import Case
from router.tools.calibrate.collect.ledger import Answered
from router.tools.calibrate.errors import NothingLearned
from router.tools.calibrate.report import (
    Section,
    advice_section,
    frontier_section,
    map_section,
    weights_section,
)


@dataclass(frozen=True, slots=True)
class Study:
    """What the figures are made with. keep, floor: as of `Terms`."""

    catalog: Catalog
    gate: FormatCheckSettings
    utility: Utility
    fresh: Callable[[], Policy]
    policy: str
    seed: int
    keep: tuple[str, ...] = ()
    floor: float = 0.0


@dataclass(frozen=True, slots=True)
class Findings:
    """sections: in reading order. complete: prompts that every figure is made of."""

    policy: Policy
    sections: tuple[Section, ...]
    complete: int
    advice: Advice | None


def row_of(
    case: Case,
    context: Context,
    catalog: Catalog,
    gate: FormatCheckSettings,
    judged: Priced,
) -> Row:
    """judged: of the plans whose gate judges."""
    arms = arm_results(case, gate)
    known = {
        name: judged.get(name) if plan.is_judged else plan_result(plan, arms)
        for name, plan in catalog.plans.items()
    }
    return Row(context, {n: r for n, r in known.items() if r is not None}, arms)


def study(
    cases: Sequence[Case], contexts: Sequence[Context], judged: Sequence[Priced], how: Study
) -> Findings:
    """contexts, judged: one per case. Raises NothingLearned when no answer has a score."""
    rows = [
        row_of(case, context, how.catalog, how.gate, priced)
        for case, context, priced in zip(cases, contexts, judged, strict=True)
    ]
    if not any(score.quality is not None for case in cases for score in case.scores.values()):
        raise NothingLearned(
            "no answer has a score: see that the providers answer (nothing was paid for those that "
            "do not), and give the prompts a reference, or use --verifier or --judge"
        )
    policy = trained(how.fresh, rows, how.catalog.plans, np.random.default_rng(how.seed))
    whole = [i for i, row in enumerate(rows) if is_complete(row, how.catalog)]
    texts = [cases[i].prompt.chat.prompt for i in whole]
    sections, advice = _figures([rows[i] for i in whole], texts, how)
    return Findings(policy, tuple(sections), len(whole), advice)


def is_complete(row: Row, catalog: Catalog) -> bool:
    """Whether every arm and plan has a result with a quality."""
    results = [row.arms.get(arm) for arm in catalog.arms]
    results += [row.plans.get(plan) for plan in catalog.plans]
    return all(result is not None and result.quality is not None for result in results)


def _figures(
    rows: Sequence[Row], texts: Sequence[str], how: Study
) -> tuple[list[Section], Advice | None]:
    if len(rows) < LEAST_ROWS:
        note = f"{len(rows)} complete prompts are too few for figures: have {LEAST_ROWS} at least"
        return [Section("The frontier on these prompts", (note,))], None
    rng = np.random.default_rng(how.seed)
    tried = cross_validated(how.fresh, rows, how.catalog.plans, how.utility, rng)
    policy = Way(f"{how.policy} (cost weight {tried[0].cost_weight:g})", "policy", tried[0].numbers)
    arms, ladders = _fixed(rows, how)
    shown = lines(arms, [*ladders, policy], rng)
    gap = over_hull(arms, policy, rng)
    terms = Terms(how.catalog.plans, how.policy, how.utility.units.cost_usd, how.keep, how.floor)
    plans = {name: [row.plans[name] for row in rows] for name in how.catalog.plans}
    advice = advise(tried, ways_of("plan", plans, how.utility), terms, rng)
    names = list(how.catalog.arms)
    sections = [
        frontier_section(shown, gap, hull_names(arms)),
        weights_section(tried, equal_quality(tried, arms, rng)),
        map_section(regions(rows, texts, names, how.utility), names),
        advice_section(advice),
    ]
    return sections, advice


def _fixed(rows: Sequence[Row], how: Study) -> tuple[list[Way], list[Way]]:
    """(arms, plans of more than one rung)."""
    arms = {arm: [row.arms[arm] for row in rows] for arm in how.catalog.arms}
    ladders = {
        name: [row.plans[name] for row in rows]
        for name, plan in how.catalog.plans.items()
        if len(plan.rungs) > 1
    }
    return ways_of("arm", arms, how.utility), ways_of("plan", ladders, how.utility)


def absences(cases: Sequence[Case]) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """("arm: why" -> count) of answers that are missing, and of answers without a score."""
    missing, unscored = Counter[str](), Counter[str]()
    for case in cases:
        for arm, reply in case.replies.items():
            score = case.scores.get(arm)
            if not isinstance(reply, Answered):
                what = reply.why if isinstance(reply, Missing) else f"failed, {reply.why}"
                missing[f"{arm}: {what}"] += 1
            elif score is None or score.quality is None:
                unscored[f"{arm}: {score.why if score else 'stopped'}"] += 1
    return missing, unscored
