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
from router.adapters.providers import ProxyRules, make_client, make_providers
from router.adapters.verifier import HttpVerifier
from router.adapters.verifier import make_client as verifier_client
from router.app.learner_state_factory import LearnerStateFactory, example_contexts
from router.config import Config
from router.config.policy_checks import plans_named
from router.config.policy_values import floor_of
from router.config.values import (
    catalog_of,
    context_map_of,
    headers_of,
    keys_of,
    request_prices_of,
    units_of,
    weights_of,
)
from router.domain.catalog import Catalog
from router.domain.chat import ChatRequest
from router.domain.errors import RouterError
from router.domain.logged_context import MOST_SAID, blended, facts_of, said_in
from router.gates.format_checks import FormatCheckSettings
from router.learning.learner_state import LearnerState
from router.ports.upstream import Embedding
from router.runtime.files import check_writable, write_file
from router.tools.calibrate.analysis.calibration import Findings, StudySettings, absences, study
from router.tools.calibrate.analysis.frontier import Utility
from router.tools.calibrate.analysis.plan_simulation import (
    JudgedResults,
    SimulationSettings,
    simulated,
)
from router.tools.calibrate.analysis.prices import PromptPrices, taught_rates
from router.tools.calibrate.collect.arm_client import ArmClient, ArmClientSettings
from router.tools.calibrate.collect.budget import Budget
from router.tools.calibrate.collect.collector import CollectedPrompt, Collector
from router.tools.calibrate.collect.journal import Answered, Journal
from router.tools.calibrate.collect.matching import Match
from router.tools.calibrate.collect.prompts import Prompt, prompts_in
from router.tools.calibrate.collect.scoring import (
    JudgeScorer,
    ReferenceScorer,
    Scorer,
    VerifierScorer,
)
from router.tools.calibrate.report import CollectionSummary, collection_section, markdown
from router.tools.calibrate.terminal import progress_bar, show, until_stopped
from router.tools.publishing import SnapshotTarget, check_target, hand_over

PLAIN_WIDTH = 160
"""Width of tables where there is no terminal."""


class Stopped(RouterError):
    """The user stopped the calibration; paid answers are in the journal."""

    reason = "STOPPED"


@dataclass(frozen=True, slots=True)
class CalibrateOptions:
    """Options of the command. verifier, judge: "" for none."""

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
    def target(self) -> SnapshotTarget:
        return SnapshotTarget(self.out, self.replace)


def run_calibration(
    config: Config, options: CalibrateOptions, env: Mapping[str, str], console: Console
) -> None:
    """Run the command. Raises RouterError; Stopped when the user stopped it."""
    with threadpool_limits(limits=1):
        _Calibration(config, options, env, console).run()


@dataclass(frozen=True, slots=True)
class _Collection:
    """contexts: one per prompt. doubtful_usd: of what is spent, for calls without an end."""

    prompts: Sequence[CollectedPrompt]
    contexts: Sequence[Context]
    factory: LearnerStateFactory
    budget: Budget
    doubtful_usd: float

    def summary(self, findings: Findings) -> CollectionSummary:
        missing, unscored = absences(self.prompts)
        replies = (reply for one in self.prompts for reply in one.replies.values())
        return CollectionSummary(
            prompts=len(self.prompts),
            complete=findings.complete,
            answers=sum(isinstance(reply, Answered) for reply in replies),
            spent_usd=self.budget.spent_usd,
            budget_usd=self.budget.budget_usd,
            doubtful_usd=self.doubtful_usd,
            beyond_usd=self.budget.beyond_usd,
            missing=missing,
            unscored=unscored,
        )


class _Calibration:
    def __init__(
        self, config: Config, options: CalibrateOptions, env: Mapping[str, str], console: Console
    ) -> None:
        self._config = config
        self._options = options
        self._env = env
        self._console = console
        self._catalog: Catalog = catalog_of(config)
        self._map = context_map_of(config)

    def run(self) -> None:
        """Collect, train and report; figures outside any event loop, so that Ctrl-C ends them."""
        options = self._options
        collection = asyncio.run(self._collect())
        state, prices = collection.factory.fresh(), self._prices(collection)
        with self._console.status("carrying out the plans whose gate judges"):
            judged = asyncio.run(self._simulate(collection, state, prices))
        with self._console.status("learning, and judging what was learned"):
            settings = self._study_settings(collection.factory, prices)
            findings = study(collection.prompts, collection.contexts, judged, settings)
        sections = [collection_section(collection.summary(findings)), *findings.sections]
        show(self._console, sections)
        if options.report is not None:
            write_file(options.report, markdown(sections).encode())
        learned = LearnerState(findings.policy, state.gates, state.promises, rates=prices.rates)
        payload = learned.save()
        self._say(asyncio.run(hand_over(self._config, self._env, options.target, payload)))

    async def _collect(self) -> _Collection:
        options = self._options
        prompts = prompts_in(options.prompts)
        if options.report is not None:
            check_writable(options.report)
        await check_target(self._config, self._env, options.target)
        with Journal.open(options.journal) as journal:
            # Anything lacking, above all the model, shows before anything is paid.
            with self._console.status("embedding the prompts"):
                contexts, factory = await self._embedded(prompts)
            budget = Budget(options.budget_usd, journal.ledger.spent_usd)
            collected = await self._asked(prompts, journal, budget)
            doubtful_usd = sum(i.most_usd for i in journal.ledger.doubts.values())
        return _Collection(collected, contexts, factory, budget, doubtful_usd)

    async def _asked(
        self, prompts: Sequence[Prompt], journal: Journal, budget: Budget
    ) -> list[CollectedPrompt]:
        stop = asyncio.Event()
        async with self._open_collector(journal, budget, stop) as collector:
            self._say(collector.estimate(prompts, self._config.policy.typical_tokens.output))
            total = len(prompts) * len(self._catalog.arms)
            with progress_bar(self._console, total, budget) as listener:
                work = collector.collect(prompts, listener)
                collected = await until_stopped(work, stop, self._say)
        if stop.is_set():
            raise Stopped(
                f"stopped after ${budget.spent_usd:.4f}; the answers are in {journal.path}: run "
                "the same command again to go on from there"
            )
        return collected

    @asynccontextmanager
    async def _open_collector(
        self, journal: Journal, budget: Budget, stop: asyncio.Event
    ) -> AsyncIterator[Collector]:
        section, options = self._config.providers, self._options
        async with AsyncExitStack() as stack:
            proxies = ProxyRules.read(section.proxy, self._env)
            transport = make_client(
                section.max_connections,
                http2=section.http2,
                ca_file=section.ca_file,
                proxies=proxies,
            )
            http = await stack.enter_async_context(transport)
            client = ArmClient(
                catalog=self._catalog,
                providers=make_providers(
                    http,
                    keys_of(self._config, self._env),
                    headers=headers_of(self._config, self._env),
                ),
                journal=journal,
                calls=asyncio.Semaphore(options.concurrency),
                stop=stop,
                clock=time.monotonic,
                settings=ArmClientSettings(options.max_output_tokens, options.ask_again),
            )
            yield Collector(
                client=client,
                scorer=await self._scorer(client, journal, proxies, stack),
                arms=list(self._catalog.arms),
                budget=budget,
                stop=stop,
                concurrency=options.concurrency,
            )

    async def _scorer(
        self, client: ArmClient, journal: Journal, proxies: ProxyRules, stack: AsyncExitStack
    ) -> Scorer:
        options = self._options
        if options.judge:
            return JudgeScorer(client, options.judge)
        if options.verifier:
            proxy = proxies.url_for(options.verifier)
            http = await stack.enter_async_context(verifier_client(proxy))
            verifier = HttpVerifier(http, options.verifier)
            return VerifierScorer(verifier, options.verifier, journal)
        return ReferenceScorer(Match(options.match))

    async def _embedded(
        self, prompts: Sequence[Prompt]
    ) -> tuple[list[Context], LearnerStateFactory]:
        """Returns contexts in the order of the prompts, and a factory of policies for them."""
        workers = self._config.embedding.workers or len(os.sched_getaffinity(0))
        pool = EmbedderPool(model_dir(), workers=workers, queue=MOST_SAID * len(prompts))
        try:
            await pool.warm_up()
            examples = await example_contexts(self._config, pool, self._map)
            embedded = await asyncio.gather(*(_embedding(pool, p.chat) for p in prompts))
        finally:
            pool.close()
        pairs = zip(embedded, prompts, strict=True)
        contexts = [self._map.build(embedding, facts_of(p.chat)) for embedding, p in pairs]
        return contexts, LearnerStateFactory(self._config, self._catalog, examples)

    def _prices(self, collection: _Collection) -> PromptPrices:
        rates = taught_rates(collection.prompts)
        return PromptPrices(request_prices_of(self._config, self._catalog), rates)

    async def _simulate(
        self, collection: _Collection, state: LearnerState, prices: PromptPrices
    ) -> list[JudgedResults]:
        pool = EmbedderPool(model_dir(), workers=1, queue=1)
        settings = SimulationSettings(
            self._catalog, self._checks(), weights_of(self._config), pool.embed, prices
        )
        prompts, contexts, fresh = collection.prompts, collection.contexts, collection.factory.fresh
        try:
            return await simulated(prompts, contexts, state, settings, lambda: fresh().gates)
        finally:
            pool.close()

    def _checks(self) -> FormatCheckSettings:
        return FormatCheckSettings(self._config.gate.refusals, self._config.gate.min_mean_logprob)

    def _study_settings(self, factory: LearnerStateFactory, prices: PromptPrices) -> StudySettings:
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
        )

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


async def _embedding(pool: EmbedderPool, chat: ChatRequest) -> Embedding:
    """Returns what the service makes of the conversation."""
    said = said_in(chat)
    vectors = await asyncio.gather(*(pool.embed(text) for text, _ in said))
    return blended([(vector, weight) for vector, (_, weight) in zip(vectors, said, strict=True)])
