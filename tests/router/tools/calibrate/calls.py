"""Arms, prompts and who asks them, over real HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from router.adapters.providers import make_client, make_providers
from router.domain.catalog import Arm, Catalog, Deployment, Plan, Price
from router.tools.calibrate.collect.asking import ArmClient, ArmClientSettings, Missing
from router.tools.calibrate.collect.budget import Budget, Share
from router.tools.calibrate.collect.gathering import Case, Collector
from router.tools.calibrate.collect.journal import Journal
from router.tools.calibrate.collect.ledger import Answered, Failed
from router.tools.calibrate.collect.prompts import Prompt, read_prompts
from router.tools.calibrate.collect.scoring import Scorer
from tests.router.tools.calibrate.conftest import Upstream

PRICE = Price(10.0, 10.0)
COST_USD = 15 * 10 / 1e6
SETTINGS = ArmClientSettings(pause_ms=1)


class Silent:
    def replied(self, reply: object) -> None:
        pass


def prompts(count: int = 1) -> list[Prompt]:
    return read_prompts(
        [f'{{"prompt": "{i}+2?", "reference": {i + 2}}}'.encode() for i in range(count)], "p"
    )


def catalog(port: int, **arms: Sequence[str]) -> Catalog:
    """Arm -> the models of its deployments."""

    def deployment(model: str) -> Deployment:
        url = f"http://127.0.0.1:{port}/v1"
        return Deployment(
            model, "openai", url, model, PRICE, max_output_tokens=50, timeout_ms=2_000
        )

    made = {arm: Arm(arm, tuple(map(deployment, models))) for arm, models in arms.items()}
    return Catalog(made, {arm: Plan(arm, (arm,), 0.01) for arm in made})


@asynccontextmanager
async def asking(
    arms: Catalog, journal: Journal, settings: ArmClientSettings = SETTINGS, calls: int = 4
) -> AsyncIterator[ArmClient]:
    async with make_client() as client:
        yield ArmClient(
            catalog=arms,
            providers=make_providers(client, {}),
            journal=journal,
            calls=asyncio.Semaphore(calls),
            stop=asyncio.Event(),
            clock=time.monotonic,
            settings=settings,
        )


async def ask(
    asker: ArmClient, arm: str = "a", budget_usd: float = 1.0
) -> tuple[Answered | Failed | Missing, Budget]:
    purse = Budget(budget_usd, 0.0)
    share = Share(purse, 0.0)
    reply = await asker.ask(prompts()[0].chat, arm, share)
    await share.close()
    assert purse.held_usd == 0
    return reply, purse


def gathering(asker: ArmClient, scorer: Scorer, purse: Budget, arms: Sequence[str]) -> Collector:
    return Collector(
        asker=asker, scorer=scorer, arms=arms, purse=purse, stop=asyncio.Event(), concurrency=4
    )


async def gathered(
    upstream: Upstream,
    path: Path,
    make: Callable[[ArmClient, Journal], Scorer],
    *,
    budget_usd: float = 1.0,
    count: int = 10,
) -> tuple[list[Case], Budget]:
    """Arms a and b (and the judge j, which is an arm as well)."""
    arms = catalog(upstream.port, a=["m"], b=["n"], j=["judge"])
    with Journal.open(path) as journal:
        purse = Budget(budget_usd, journal.ledger.spent_usd)
        async with asking(arms, journal) as asker:
            gatherer = gathering(asker, make(asker, journal), purse, ["a", "b"])
            cases = await gatherer.gather(prompts(count), Silent())
    assert purse.held_usd == 0
    return cases, purse
