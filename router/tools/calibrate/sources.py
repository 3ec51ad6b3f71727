"""The adapters behind a calibration: the embedding model, providers, and who scores."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bandit.types import Context
from router.adapters.embedding.files import model_dir
from router.adapters.embedding.pool import EmbedderPool
from router.adapters.providers import ProxyRules, make_client, make_providers
from router.adapters.verifier import HttpVerifier
from router.adapters.verifier import make_client as verifier_client
from router.app.learner_state_factory import LearnerStateFactory, example_contexts
from router.config import Config
from router.config.values import catalog_of, context_map_of, headers_of, keys_of
from router.domain.chat import ChatRequest
from router.domain.conversations import application_digest
from router.domain.logged_context import MOST_SAID, blended, facts_of, said_in
from router.ports.upstream import Embedding
from router.tools.calibrate.collect.arm_client import ArmClient, ArmClientSettings
from router.tools.calibrate.collect.budget import Budget
from router.tools.calibrate.collect.collector import Collector
from router.tools.calibrate.collect.journal import Journal
from router.tools.calibrate.collect.matching import Match
from router.tools.calibrate.collect.prompts import Prompt
from router.tools.calibrate.collect.scoring import (
    JudgeScorer,
    ReferenceScorer,
    Scorer,
    VerifierScorer,
)
from router.tools.calibrate.settings import CalibrateOptions


@dataclass(frozen=True, slots=True)
class Sources:
    """Opens what the config and the options name."""

    config: Config
    options: CalibrateOptions
    env: Mapping[str, str]

    async def embedded(
        self, prompts: Sequence[Prompt]
    ) -> tuple[list[Context], LearnerStateFactory]:
        """Returns contexts in the order of the prompts, and a factory of policies for them."""
        land = context_map_of(self.config)
        workers = self.config.embedding.workers or len(os.sched_getaffinity(0))
        pool = EmbedderPool(model_dir(), workers=workers, queue=MOST_SAID * len(prompts))
        try:
            await pool.warm_up()
            examples = await example_contexts(self.config, pool, land)
            embedded = await asyncio.gather(*(_embedding(pool, p.chat) for p in prompts))
        finally:
            pool.close()
        pairs = zip(embedded, prompts, strict=True)
        contexts = [
            land.build(embedding, facts_of(p.chat, application_digest(p.task, p.chat)))
            for embedding, p in pairs
        ]
        return contexts, LearnerStateFactory(self.config, catalog_of(self.config), examples)

    @asynccontextmanager
    async def collector(
        self, journal: Journal, budget: Budget, stop: asyncio.Event
    ) -> AsyncIterator[Collector]:
        section, options = self.config.providers, self.options
        catalog = catalog_of(self.config)
        async with AsyncExitStack() as stack:
            proxies = ProxyRules.read(section.proxy, self.env)
            transport = make_client(
                section.max_connections,
                http2=section.http2,
                ca_file=section.ca_file,
                proxies=proxies,
            )
            http = await stack.enter_async_context(transport)
            client = ArmClient(
                catalog=catalog,
                providers=make_providers(
                    http,
                    keys_of(self.config, self.env),
                    headers=headers_of(self.config, self.env),
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
                arms=list(catalog.arms),
                budget=budget,
                stop=stop,
                concurrency=options.concurrency,
            )

    async def _scorer(
        self, client: ArmClient, journal: Journal, proxies: ProxyRules, stack: AsyncExitStack
    ) -> Scorer:
        options = self.options
        if options.judge:
            return JudgeScorer(client, options.judge)
        if options.verifier:
            proxy = proxies.url_for(options.verifier)
            http = await stack.enter_async_context(verifier_client(proxy))
            verifier = HttpVerifier(http, options.verifier)
            return VerifierScorer(verifier, options.verifier, journal)
        return ReferenceScorer(Match(options.match))


async def _embedding(pool: EmbedderPool, chat: ChatRequest) -> Embedding:
    """Returns what the service makes of the conversation."""
    said = said_in(chat)
    vectors = await asyncio.gather(*(pool.embed(text) for text, _ in said))
    return blended([(vector, weight) for vector, (_, weight) in zip(vectors, said, strict=True)])
