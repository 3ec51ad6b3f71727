"""`calibrate`, composed: prompts in, answers through the real adapters, a snapshot out."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from threadpoolctl import threadpool_limits

from bandit.types import Context
from router.adapters.embedding.files import model_dir
from router.adapters.embedding.pool import EmbedderPool
from router.adapters.providers import make_client, make_providers
from router.adapters.verifier import HttpVerifier
from router.adapters.verifier import make_client as verifier_client
from router.app.learner_state_factory import LearnerStateFactory, example_contexts
from router.config import Config
from router.config.policy_checks import plans_named
from router.config.policy_values import floor_of
from router.config.values import catalog_of, context_map_of, keys_of, units_of, weights_of
from router.domain.catalog import Catalog
from router.domain.logged_context import facts_of
from router.gates.format_checks import FormatCheckSettings
from router.learning.learner_state import LearnerState
from router.runtime.files import write_file
from router.tools.calibrate.analysis.calibration import Findings, Study, absences, study
from router.tools.calibrate.analysis.frontier import Utility
from router.tools.calibrate.analysis.plan_simulation import Terms
from router.tools.calibrate.analysis.schooling import Curriculum, Priced, schooled
from router.tools.calibrate.collect.asking import ArmClient, ArmClientSettings
from router.tools.calibrate.collect.budget import Budget
from router.tools.calibrate.collect.estimate import estimate
from router.tools.calibrate.collect.files import prompts_in
from router.tools.calibrate.collect.gathering import Case, Collector
from router.tools.calibrate.collect.hook import PatientVerifier
from router.tools.calibrate.collect.journal import Journal
from router.tools.calibrate.collect.ledger import Answered
from router.tools.calibrate.collect.matching import Match
from router.tools.calibrate.collect.prompts import Prompt
from router.tools.calibrate.collect.scoring import (
    JudgeScorer,
    ReferenceScorer,
    Scorer,
    VerifierScorer,
)
from router.tools.calibrate.collect.stopping import until_told
from router.tools.calibrate.errors import Stopped
from router.tools.calibrate.report import Account, account_section, markdown
from router.tools.calibrate.terminal import bar, show
from router.tools.handover import Targets, check_targets, hand_over

PLAIN_WIDTH = 160
"""Of tables that no terminal shows."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The command's words. verifier, judge: "" for none. out: write a file, publish nothing."""

    prompts: Path
    journal: Path
    budget_usd: float
    concurrency: int = 8
    match: str = "auto"
    verifier: str = ""
    judge: str = ""
    max_output_tokens: int | None = None
    ask_again: bool = False
    replace: bool = False
    out: Path | None = None
    report: Path | None = None

    @property
    def targets(self) -> Targets:
        return Targets(self.out, self.report, self.replace)


def run_calibration(
    config: Config, wanted: Wanted, env: Mapping[str, str], console: Console
) -> None:
    """Raises RouterError; Stopped when the user stopped it."""
    with threadpool_limits(limits=1):
        _Run(config, wanted, env, console).run()


@dataclass(frozen=True, slots=True)
class _Gathered:
    """contexts: one per case. doubtful_usd: of what is spent, for calls without an end."""

    cases: Sequence[Case]
    contexts: Sequence[Context]
    brain: LearnerStateFactory
    purse: Budget
    doubtful_usd: float


class _Run:
    def __init__(
        self, config: Config, wanted: Wanted, env: Mapping[str, str], console: Console
    ) -> None:
        self._config = config
        self._wanted = wanted
        self._env = env
        self._console = console
        self._catalog: Catalog = catalog_of(config)
        self._map = context_map_of(config)

    def run(self) -> None:
        """The figures are made outside any event loop, so that Ctrl-C ends them at once."""
        wanted = self._wanted
        gathered = asyncio.run(self._gather())
        learned = gathered.brain.fresh()
        with self._console.status("carrying out the plans whose gate judges"):
            judged = asyncio.run(self._schooled(gathered, learned))
        with self._console.status("learning, and judging what was learned"):
            how = self._study(gathered.brain)
            findings = study(gathered.cases, gathered.contexts, judged, how)
        sections = [account_section(_account(gathered, findings)), *findings.sections]
        show(self._console, sections)
        if wanted.report is not None:
            write_file(wanted.report, markdown(sections).encode())
        payload = LearnerState(findings.policy, learned.gates, learned.promises).save()
        self._say(asyncio.run(hand_over(self._config, self._env, wanted.targets, payload)))

    async def _gather(self) -> _Gathered:
        wanted = self._wanted
        prompts = prompts_in(wanted.prompts)
        await check_targets(self._config, self._env, wanted.targets)
        with Journal.open(wanted.journal) as journal:
            # What can be lacking, the model above all, is found lacking before anything is paid.
            with self._console.status("embedding the prompts"):
                contexts, brain = await self._embedded(prompts)
            purse = Budget(wanted.budget_usd, journal.ledger.spent_usd)
            cases = await self._asked(prompts, journal, purse)
            doubtful_usd = sum(i.most_usd for i in journal.ledger.doubts.values())
        return _Gathered(cases, contexts, brain, purse, doubtful_usd)

    async def _asked(
        self, prompts: Sequence[Prompt], journal: Journal, purse: Budget
    ) -> list[Case]:
        stop = asyncio.Event()
        async with self._gatherer(journal, purse, stop) as gatherer:
            self._say(estimate(prompts, self._catalog, self._typical(), gatherer, purse))
            total = len(prompts) * len(self._catalog.arms)
            with bar(self._console, total, purse) as watcher:
                cases = await until_told(gatherer.gather(prompts, watcher), stop, self._say)
        if stop.is_set():
            raise Stopped(
                f"stopped after ${purse.spent_usd:.4f}; the answers are in {journal.path}: run "
                "the same command again to go on from there"
            )
        return cases

    @asynccontextmanager
    async def _gatherer(
        self, journal: Journal, purse: Budget, stop: asyncio.Event
    ) -> AsyncIterator[Collector]:
        config, wanted = self._config, self._wanted
        async with AsyncExitStack() as stack:
            section = config.providers
            transport = make_client(
                section.max_connections, http2=section.http2, ca_file=section.ca_file
            )
            client = await stack.enter_async_context(transport)
            asker = ArmClient(
                catalog=self._catalog,
                providers=make_providers(client, keys_of(config, self._env)),
                journal=journal,
                calls=asyncio.Semaphore(wanted.concurrency),
                stop=stop,
                clock=time.monotonic,
                settings=ArmClientSettings(wanted.max_output_tokens, wanted.ask_again),
            )
            yield Collector(
                asker=asker,
                scorer=await self._scorer(asker, journal, stack),
                arms=list(self._catalog.arms),
                purse=purse,
                stop=stop,
                concurrency=wanted.concurrency,
            )

    async def _scorer(self, asker: ArmClient, journal: Journal, stack: AsyncExitStack) -> Scorer:
        wanted = self._wanted
        if wanted.judge:
            return JudgeScorer(asker, wanted.judge)
        if wanted.verifier:
            client = await stack.enter_async_context(verifier_client())
            hook = HttpVerifier(client, wanted.verifier)
            return VerifierScorer(PatientVerifier(hook, wanted.verifier), journal)
        return ReferenceScorer(Match(wanted.match))

    async def _embedded(
        self, prompts: Sequence[Prompt]
    ) -> tuple[list[Context], LearnerStateFactory]:
        """Contexts in the order of the prompts, and who makes policies for them."""
        workers = self._config.embedding.workers or len(os.sched_getaffinity(0))
        pool = EmbedderPool(model_dir(), workers=workers, queue=len(prompts))
        try:
            await pool.warm_up()
            examples = await example_contexts(self._config, pool, self._map)
            embedded = await asyncio.gather(*(pool.embed(p.chat.prompt) for p in prompts))
        finally:
            pool.close()
        pairs = zip(embedded, prompts, strict=True)
        contexts = [self._map.build(embedding, facts_of(p.chat)) for embedding, p in pairs]
        return contexts, LearnerStateFactory(self._config, self._catalog, examples)

    async def _schooled(self, gathered: _Gathered, learned: LearnerState) -> list[Priced]:
        config = self._config
        pool = EmbedderPool(model_dir(), workers=1, queue=1)
        terms = Terms(self._catalog, self._gate(), weights_of(config), pool.embed)
        try:
            how = Curriculum(terms, lambda: gathered.brain.fresh().gates)
            return await schooled(gathered.cases, gathered.contexts, learned, how)
        finally:
            pool.close()

    def _gate(self) -> FormatCheckSettings:
        return self._config.gate

    def _study(self, brain: LearnerStateFactory) -> Study:
        config = self._config
        units = units_of(config, self._catalog)
        return Study(
            catalog=self._catalog,
            gate=self._gate(),
            utility=Utility(weights_of(config), units),
            fresh=brain.fresh_policy,
            policy=config.policy.name,
            seed=config.policy.seed,
            keep=tuple(plans_named(config.policy.model_dump(mode="json"))),
            floor=floor_of(config.policy),
        )

    def _typical(self) -> int:
        return self._config.policy.typical_tokens.output

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _account(gathered: _Gathered, findings: Findings) -> Account:
    cases, purse = gathered.cases, gathered.purse
    missing, unscored = absences(cases)
    return Account(
        prompts=len(cases),
        complete=findings.complete,
        answers=sum(isinstance(r, Answered) for case in cases for r in case.replies.values()),
        spent_usd=purse.spent_usd,
        budget_usd=purse.budget_usd,
        doubtful_usd=gathered.doubtful_usd,
        beyond_usd=purse.beyond_usd,
        missing=missing,
        unscored=unscored,
    )
