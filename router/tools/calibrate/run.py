"""`calibrate`, composed: prompts in, answers through the real adapters, a snapshot out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console
from threadpoolctl import threadpool_limits

from router.adapters.embedding.files import model_dir
from router.adapters.embedding.pool import EmbedderPool
from router.app.learner_state_factory import LearnerStateFactory
from router.config import Config
from router.config.policy_checks import plans_named
from router.config.policy_values import floor_of
from router.config.values import catalog_of, request_prices_of, units_of, weights_of
from router.domain import MS_PER_S
from router.domain.catalog import Catalog
from router.gates.format_checks import FormatCheckSettings
from router.learning.learner_state import LearnerState
from router.ports import Clock
from router.runtime.files import check_writable, write_file
from router.serving.evidence.purchase import terms_of
from router.tools.calibrate.analysis.calibration import Findings, StudySettings, absences, study
from router.tools.calibrate.analysis.frontier import Utility
from router.tools.calibrate.analysis.goal import GoalOutcome, Progress
from router.tools.calibrate.analysis.plan_simulation import (
    JudgedResults,
    SimulationSettings,
    simulated,
)
from router.tools.calibrate.analysis.prices import PromptPrices, taught_rates
from router.tools.calibrate.collect.budget import Budget
from router.tools.calibrate.collect.journal import Answered, Journal
from router.tools.calibrate.collect.prompts import prompts_in
from router.tools.calibrate.documents import certificate_section, document
from router.tools.calibrate.report import (
    CollectionSummary,
    ReportSection,
    collection_section,
    markdown,
)
from router.tools.calibrate.rounds import Rounds, Stopped
from router.tools.calibrate.settings import CalibrateOptions
from router.tools.calibrate.sources import Sources
from router.tools.calibrate.terminal import progress_bar, show
from router.tools.publishing import check_target, hand_over

__all__ = ["PLAIN_WIDTH", "CalibrateOptions", "Stopped", "run_calibration"]

PLAIN_WIDTH = 160
"""Width of tables where there is no terminal."""


def run_calibration(
    config: Config,
    options: CalibrateOptions,
    env: Mapping[str, str],
    console: Console,
    clock: Clock = time.time,
) -> dict[str, Any]:
    """Run the command. Returns what it found as a document. clock: seconds since the epoch.

    Raises RouterError; Stopped when the user stopped it.
    """
    with threadpool_limits(limits=1), asyncio.Runner() as runner:
        calibration = _Calibration(config, options, env, console, runner)
        return calibration.run(clock() * MS_PER_S)


@dataclass(frozen=True, slots=True)
class _Studied:
    """What the prompts collected so far tell, and what learned from them."""

    findings: Findings
    learned: LearnerState
    summary: CollectionSummary


class _Calibration:
    """Figures are made outside the event loop, so that Ctrl-C ends them."""

    def __init__(
        self,
        config: Config,
        options: CalibrateOptions,
        env: Mapping[str, str],
        console: Console,
        runner: asyncio.Runner,
    ) -> None:
        self._config = config
        self._options = options
        self._env = env
        self._console = console
        self._runner = runner
        self._catalog: Catalog = catalog_of(config)

    def run(self, now_ms: float) -> dict[str, Any]:
        options = self._options
        studied, outcome = self._calibrated()
        found = studied.findings
        sections = [collection_section(studied.summary), *self._certified(found, outcome)]
        show(self._console, [*sections, *found.sections])
        if options.report is not None:
            write_file(options.report, markdown([*sections, *found.sections]).encode())
        terms = {name: terms_of(arm) for name, arm in self._catalog.arms.items()}
        spent_usd = studied.summary.spent_usd
        studied.learned.evidence.calibrate(found.known, terms, spent_usd, now_ms)
        payload = studied.learned.save()
        told = self._runner.run(hand_over(self._config, self._env, options.target, payload))
        self._say(told)
        return document(studied.summary, found.certificate, found.advice, outcome, told)

    def _certified(self, found: Findings, outcome: GoalOutcome | None) -> list[ReportSection]:
        return [certificate_section(found.certificate, outcome)] if found.certificate else []

    def _calibrated(self) -> tuple[_Studied, GoalOutcome | None]:
        options, goal = self._options, self._options.goal
        prompts = prompts_in(options.prompts)
        if options.report is not None:
            check_writable(options.report)
        self._runner.run(check_target(self._config, self._env, options.target))
        sources = Sources(self._config, options, self._env)
        with Journal.open(options.journal) as journal:
            # Anything lacking, above all the model, shows before anything is paid.
            with self._console.status("embedding the prompts"):
                contexts, factory = self._runner.run(sources.embedded(prompts))
            rounds = Rounds(
                sources=sources,
                prompts=prompts,
                contexts=contexts,
                journal=journal,
                budget=Budget(options.budget_usd, journal.ledger.spent_usd),
                say=self._say,
                bar=partial(progress_bar, self._console),
            )
            wanted: int | None = goal.first(len(prompts))
            if goal.prompts is not None and goal.prompts > len(prompts):
                self._say(f"{goal.prompts} prompts were wanted, the file holds {len(prompts)}")
            complete = 0
            while wanted is not None:
                self._runner.run(rounds.ask(wanted))
                studied = self._studied(rounds, factory)
                progress = _progress(rounds, studied.findings, complete)
                wanted, complete = goal.next(progress), progress.complete
                if wanted is not None:
                    self._say(_next(progress, wanted))
        return studied, goal.outcome(progress)

    def _studied(self, rounds: Rounds, factory: LearnerStateFactory) -> _Studied:
        prompts, contexts = rounds.found
        state, rates = factory.fresh(), taught_rates(prompts)
        prices = PromptPrices(request_prices_of(self._config, self._catalog), rates)
        with self._console.status("carrying out the plans whose gate judges"):
            judged = self._runner.run(self._simulate(rounds, factory, state, prices))
        with self._console.status("learning, and judging what was learned"):
            settings = self._study_settings(rounds, factory, state, prices)
            findings = study(prompts, contexts, judged, settings)
        learned = LearnerState(findings.policy, state.gates, state.promises, rates=rates)
        return _Studied(findings, learned, _summary(rounds, findings))

    async def _simulate(
        self,
        rounds: Rounds,
        factory: LearnerStateFactory,
        state: LearnerState,
        prices: PromptPrices,
    ) -> list[JudgedResults]:
        pool = EmbedderPool(model_dir(), workers=1, queue=1)
        settings = SimulationSettings(
            self._catalog, self._checks(), weights_of(self._config), pool.embed, prices
        )
        try:
            return await simulated(*rounds.found, state, settings, lambda: factory.fresh().gates)
        finally:
            pool.close()

    def _checks(self) -> FormatCheckSettings:
        return FormatCheckSettings(self._config.gate.refusals, self._config.gate.min_mean_logprob)

    def _study_settings(
        self,
        rounds: Rounds,
        factory: LearnerStateFactory,
        state: LearnerState,
        prices: PromptPrices,
    ) -> StudySettings:
        policy = self._config.policy
        units = units_of(self._config, self._catalog)
        return StudySettings(
            catalog=self._catalog,
            checks=self._checks(),
            utility=Utility(weights_of(self._config), units),
            fresh=factory.fresh_policy,
            policy=policy.name,
            seed=policy.seed,
            keep=tuple(plans_named(policy.model_dump(mode="json"))),
            floor=floor_of(policy),
            prices=prices,
            sizes=rounds.sizes,
            promises=state.promises,
        )

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _summary(rounds: Rounds, findings: Findings) -> CollectionSummary:
    prompts, _ = rounds.found
    missing, unscored = absences(prompts)
    replies = (reply for one in prompts for reply in one.replies.values())
    return CollectionSummary(
        prompts=len(prompts),
        complete=findings.complete,
        answers=sum(isinstance(reply, Answered) for reply in replies),
        spent_usd=rounds.budget.spent_usd,
        budget_usd=rounds.budget.budget_usd,
        doubtful_usd=rounds.doubtful_usd,
        beyond_usd=rounds.budget.beyond_usd,
        missing=missing,
        unscored=unscored,
    )


def _progress(rounds: Rounds, findings: Findings, complete_before: int) -> Progress:
    certificate = findings.certificate
    return Progress(
        picked=len(rounds.collected),
        file=len(rounds.prompts),
        complete=findings.complete,
        grew=findings.complete > complete_before,
        precision=certificate.gain.precision if certificate else None,
        spent_usd=rounds.budget.spent_usd,
        left_usd=rounds.budget.left_usd,
        refused=rounds.refused,
        refused_usd=rounds.refused_usd,
    )


def _next(at: Progress, wanted: int) -> str:
    if at.precision is None:
        return f"{at.complete} prompts are complete: asking {wanted - at.picked} more"
    half = at.precision.half_width()
    return f"±{half:.4f} with {at.complete} prompts: asking {wanted - at.picked} more"
