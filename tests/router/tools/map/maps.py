"""Small context maps, taught policies and decisions on record."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from bandit import Action, ContextMap, PolicySettings, PromptFacts, Units, Weights, make_policy
from bandit.context.fitting import fit
from bandit.types import Context, Outcome, Policy
from router.domain.logged_context import log_context
from router.domain.records import Attempt, AttemptOutcome, Choice, DecisionRecord, Mode, WeightSet
from router.tools.map.atlas import Atlas, MapHead, MapSources, make_atlas
from router.tools.map.traffic import Traffic, traffic_of

WIDTH = 32
WEIGHTS = Weights(cost=0.1)
PLANS = ("cheap", "reasoning")
COST_USD = {"cheap": 0.0001, "reasoning": 0.01}


def embeddings(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Unit rows around eight centres."""
    rng = np.random.default_rng([seed, 1])
    centres = np.random.default_rng(7).normal(size=(8, WIDTH))
    rows = centres[rng.integers(8, size=count)] + 0.4 * rng.normal(size=(count, WIDTH))
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1)[:, None]).astype(np.float32)
    return unit


@cache
def land(seed: int = 0) -> ContextMap:
    facts = [PromptFacts(f"What is {n}?" if n % 2 else "Tell me.") for n in range(320)]
    return fit(embeddings(320, seed), facts, seed)


def settings(made: ContextMap) -> PolicySettings:
    return PolicySettings(units=Units(0.01), shape=made.shape, weights=WEIGHTS, vw=frozenset())


def policy(made: ContextMap, name: str = "adaptive") -> Policy:
    return make_policy(name, settings(made), made.version, np.random.default_rng(0))


def actions() -> list[Action]:
    return [Action(name, cost_usd) for name, cost_usd in COST_USD.items()]


def contexts(made: ContextMap, count: int, seed: int = 3) -> list[Context]:
    return [made.build(row, PromptFacts("What is it?")) for row in embeddings(count, seed)]


def record(
    context: Context, n: int = 0, plan: str = "cheap", feedback: float | None = None
) -> DecisionRecord:
    cost_usd = COST_USD.get(plan, 0.0)
    attempt = Attempt(plan, plan, plan, AttemptOutcome.ACCEPTED, "", 100.0, cost_usd=cost_usd)
    choice = Choice(
        plan=plan,
        propensity=0.5,
        explored=n % 5 == 0,
        probabilities=(("cheap", 0.5), ("reasoning", 0.5)),
        policy="adaptive",
        policy_version=1,
        weights=WeightSet(1.0, 0.1, 0.0, 0.5),
        context=log_context(context),
        expected=(("cheap", 0.75, 0.0001, 0.7), ("reasoning", 0.95, 0.01, 0.8)),
    )
    return DecisionRecord(
        id=f"d-{n:04}",
        tenant="t",
        created_ms=n,
        mode=Mode.COMPLETE,
        choice=choice,
        attempts=(attempt,),
        arm=plan,
        feedback=feedback,
    )


def taught(made: ContextMap, rounds: int = 200) -> Policy:
    """`reasoning` is better where the first projected axis is positive, `cheap` as good else."""
    learned = policy(made)
    for n, context in enumerate(contexts(made, rounds, seed=9)):
        action = actions()[n % 2]
        good = action.name == "reasoning" or context.projection[0] <= 0
        learned.learn(
            [
                Outcome(
                    action, context, quality=0.95 if good else 0.2, cost_usd=COST_USD[action.name]
                )
            ]
        )
    return learned


def traffic(made: ContextMap, count: int) -> Traffic:
    records = [
        record(context, n, PLANS[n % 3 == 0], 1.0 if n % 2 else None)
        for n, context in enumerate(contexts(made, count))
    ]
    return traffic_of(records, made.version, made.shape.total)


def head(made: ContextMap, learned: int = 0) -> MapHead:
    return MapHead("adaptive", 3, learned, made.version, WEIGHTS, 0.01, 1_767_225_600.0)


def atlas(made: ContextMap, count: int = 60) -> Atlas:
    learned = taught(made)
    sources = MapSources(made, learned, actions(), traffic(made, count))
    return make_atlas(sources, head(made, learned.learned))
