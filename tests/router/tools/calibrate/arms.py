"""Arms, prompts, clients and collectors over real HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from router.adapters.providers import make_client, make_providers
from router.domain.catalog import Arm, Catalog, Deployment, Plan, Price
from router.tools.calibrate.collect.arm_client import ArmClient, ArmClientSettings, Missing
from router.tools.calibrate.collect.budget import Budget, CallBudget
from router.tools.calibrate.collect.collector import CollectedPrompt, Collector
from router.tools.calibrate.collect.journal import Answered, Failed, Journal
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
    client: ArmClient, arm: str = "a", budget_usd: float = 1.0
) -> tuple[Answered | Failed | Missing, Budget]:
    budget = Budget(budget_usd, 0.0)
    reservation = CallBudget(budget, 0.0)
    reply = await client.ask(prompts()[0].chat, arm, reservation)
    await reservation.close()
    assert budget.held_usd == 0
    return reply, budget


def gathering(client: ArmClient, scorer: Scorer, budget: Budget, arms: Sequence[str]) -> Collector:
    return Collector(
        client=client, scorer=scorer, arms=arms, budget=budget, stop=asyncio.Event(), concurrency=4
    )


async def gathered(
    upstream: Upstream,
    path: Path,
    make: Callable[[ArmClient, Journal], Scorer],
    *,
    budget_usd: float = 1.0,
    count: int = 10,
) -> tuple[list[CollectedPrompt], Budget]:
    """Arms a and b (and the judge j, which is an arm as well)."""
    arms = catalog(upstream.port, a=["m"], b=["n"], j=["judge"])
    with Journal.open(path) as journal:
        budget = Budget(budget_usd, journal.ledger.spent_usd)
        async with asking(arms, journal) as client:
            collector = gathering(client, make(client, journal), budget, ["a", "b"])
            cases = await collector.collect(prompts(count), Silent())
    assert budget.held_usd == 0
    return cases, budget
