"""The study of the collected prompts: a trained policy, figures and advice; no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bandit.risk import Promise
from bandit.types import Context, Policy, Vector
from router.domain.catalog import Catalog
from router.domain.errors import RouterError
from router.domain.logged_context import Priced
from router.gates.format_checks import FormatCheckSettings
from router.learning.evidence import KnownPrompt
from router.learning.plan_results import plan_result
from router.tools.calibrate.analysis.advice import Advice, AdviceConstraints, advise
from router.tools.calibrate.analysis.certificate import Certificate, certify
from router.tools.calibrate.analysis.cross_validation import (
    LEAST_ROWS,
    cross_validated,
    equal_quality_cost,
)
from router.tools.calibrate.analysis.frontier import (
    Strategy,
    Utility,
    frontier_rows,
    hull_names,
    over_hull,
    strategies_of,
)
from router.tools.calibrate.analysis.plan_simulation import JudgedResults
from router.tools.calibrate.analysis.precision import Strata
from router.tools.calibrate.analysis.prices import PromptPrices
from router.tools.calibrate.analysis.regions import regions
from router.tools.calibrate.analysis.results import PromptResults, arm_results, trained
from router.tools.calibrate.collect.arm_client import Missing
from router.tools.calibrate.collect.collector import CollectedPrompt
from router.tools.calibrate.collect.journal import Answered
from router.tools.calibrate.collect.picks import cluster_of
from router.tools.calibrate.report import (
    ReportSection,
    advice_section,
    frontier_section,
    map_section,
    weights_section,
)


class NothingLearned(RouterError):
    """There is no answer, or none has a score."""

    reason = "NOTHING_LEARNED"


@dataclass(frozen=True, slots=True)
class StudySettings:
    """policy: its name. keep, floor: see `AdviceConstraints`. checks: of the answers' format.

    prices: of each prompt; None for those of a typical request. sizes: prompts of the file by
    cluster; None where those that are studied are the file. promises: as calibration taught them.
    """

    catalog: Catalog
    checks: FormatCheckSettings
    utility: Utility
    fresh: Callable[[], Policy]
    policy: str
    seed: int
    keep: tuple[str, ...] = ()
    floor: float = 0.0
    prices: PromptPrices | None = None
    sizes: Mapping[int, int] | None = None
    promises: Mapping[str, Promise] = field(default_factory=dict)

    def priced(self, one: CollectedPrompt) -> Priced:
        return self.prices.of(one.prompt.chat) if self.prices else ()


@dataclass(frozen=True, slots=True)
class Findings:
    """sections: in reading order. complete: prompts that every figure is made of.

    advice, certificate: None where they are too few. known: the complete prompts, as the ledger of
    evidence counts them.
    """

    policy: Policy
    sections: tuple[ReportSection, ...]
    complete: int
    advice: Advice | None
    certificate: Certificate | None = None
    known: tuple[KnownPrompt, ...] = ()


def results_of(
    collected: CollectedPrompt,
    context: Context,
    catalog: Catalog,
    checks: FormatCheckSettings,
    judged: JudgedResults,
    *,
    prices: Priced = (),
) -> PromptResults:
    """Returns the results of a prompt; judged: of the plans with a gate."""
    arms = arm_results(collected, checks)
    known = {
        name: judged.get(name) if plan.is_judged else plan_result(plan, arms)
        for name, plan in catalog.plans.items()
    }
    whole = {name: result for name, result in known.items() if result is not None}
    return PromptResults(context, whole, arms, prices)


def study(
    prompts: Sequence[CollectedPrompt],
    contexts: Sequence[Context],
    judged: Sequence[JudgedResults],
    settings: StudySettings,
) -> Findings:
    """Train the policy and compute every figure.

    contexts, judged: one per prompt. Raises NothingLearned when no answer has a score.
    """
    catalog = settings.catalog
    rows = [
        results_of(one, context, catalog, settings.checks, results, prices=settings.priced(one))
        for one, context, results in zip(prompts, contexts, judged, strict=True)
    ]
    if not any(score.quality is not None for one in prompts for score in one.scores.values()):
        raise NothingLearned(
            "no answer has a score: see that the providers answer (nothing was paid for those that "
            "do not), and give the prompts a reference, or use --verifier or --judge"
        )
    policy = trained(settings.fresh, rows, catalog.plans, np.random.default_rng(settings.seed))
    whole = [i for i, row in enumerate(rows) if is_complete(row, catalog)]
    texts = [prompts[i].prompt.chat.prompt for i in whole]
    known = tuple(_known(rows[i]) for i in whole)
    if len(whole) < LEAST_ROWS:
        note = f"{len(whole)} complete prompts are too few for figures: have {LEAST_ROWS} at least"
        few = ReportSection("The frontier on these prompts", (note,))
        return Findings(policy, (few,), len(whole), None, known=known)
    return replace(_figures([rows[i] for i in whole], texts, settings, policy), known=known)


def _known(row: PromptResults) -> KnownPrompt:
    qualities = {arm: result.quality or 0.0 for arm, result in row.arms.items()}
    return KnownPrompt(qualities, tuple(row.context.membership.tolist()))


def is_complete(row: PromptResults, catalog: Catalog) -> bool:
    """Returns whether every arm and plan has a result with a quality."""
    results = [row.arms.get(arm) for arm in catalog.arms]
    results += [row.plans.get(plan) for plan in catalog.plans]
    return all(result is not None and result.quality is not None for result in results)


def _figures(
    rows: Sequence[PromptResults], texts: Sequence[str], settings: StudySettings, trained_on: Policy
) -> Findings:
    rng = np.random.default_rng(settings.seed)
    strata = Strata.of([cluster_of(row.context) for row in rows], settings.sizes)
    weights, plans = strata.weights, settings.catalog.plans
    tried = cross_validated(
        settings.fresh, rows, plans, settings.utility, rng, prompt_weights=weights
    )
    name = f"{settings.policy} (cost weight {tried[0].cost_weight:g})"
    policy = Strategy(name, "policy", tried[0].numbers, weights)
    arms, ladders = _fixed(rows, settings, weights)
    shown = frontier_rows(arms, [*ladders, policy], rng)
    gap = over_hull(arms, policy, rng)
    constraints = AdviceConstraints(
        settings.catalog.plans,
        settings.policy,
        settings.utility.units.cost_usd,
        settings.keep,
        settings.floor,
    )
    results = {name: [row.plans[name] for row in rows] for name in plans}
    fixed = strategies_of("plan", results, settings.utility, weights)
    advice = advise(tried, fixed, constraints, strata)
    names = list(settings.catalog.arms)
    sections = [
        frontier_section(shown, gap, hull_names(arms)),
        weights_section(tried, equal_quality_cost(tried, arms, rng)),
        map_section(regions(rows, texts, names, settings.utility, weights), names),
        advice_section(advice),
    ]
    certificate = certify(tried[0], fixed, strata, settings.promises)
    return Findings(trained_on, tuple(sections), len(rows), advice, certificate)


def _fixed(
    rows: Sequence[PromptResults], settings: StudySettings, weights: Vector
) -> tuple[list[Strategy], list[Strategy]]:
    """Returns the arms, and the plans of more than one rung."""
    arms = {arm: [row.arms[arm] for row in rows] for arm in settings.catalog.arms}
    ladders = {
        name: [row.plans[name] for row in rows]
        for name, plan in settings.catalog.plans.items()
        if len(plan.rungs) > 1
    }
    return strategies_of("arm", arms, settings.utility, weights), strategies_of(
        "plan", ladders, settings.utility, weights
    )


def absences(prompts: Sequence[CollectedPrompt]) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Returns counts by "arm: why" of missing answers, and of answers without a score."""
    missing, unscored = Counter[str](), Counter[str]()
    for one in prompts:
        for arm, reply in one.replies.items():
            score = one.scores.get(arm)
            if not isinstance(reply, Answered):
                what = reply.why if isinstance(reply, Missing) else f"failed, {reply.why}"
                missing[f"{arm}: {what}"] += 1
            elif score is None or score.quality is None:
                unscored[f"{arm}: {score.why if score else 'stopped'}"] += 1
    return missing, unscored
