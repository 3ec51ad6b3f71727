"""Collected prompts for which the gain of routing is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bandit import ContextMap, make_policy
from bandit.settings import PolicySettings
from bandit.types import Context, Policy, Units, Weights
from router.domain.catalog import Arm, Catalog, Deployment, Plan, Price
from router.domain.chat import FinishReason
from router.tools.calibrate.analysis.frontier import QUALITY, Strategy, Utility
from router.tools.calibrate.collect.arm_client import Reply
from router.tools.calibrate.collect.collector import CollectedPrompt
from router.tools.calibrate.collect.journal import Answered, Failed
from router.tools.calibrate.collect.prompts import Prompt, read_prompts
from router.tools.calibrate.collect.scoring import Score

MAP = ContextMap.default()
UNIT_USD = 0.01
UTILITY = Utility(Weights(cost=0.1), Units(cost_usd=UNIT_USD))
CONFIG = """
arms:
  cheap: {deployments: [{name: c, provider: openai, model: c, price: PRICE}]}
  strong: {deployments: [{name: s, provider: openai, model: s, price: PRICE}]}
""".replace("PRICE", "{input_usd_per_mtok: 1, output_usd_per_mtok: 1}")
COSTS = {"cheap": 0.001, "strong": 0.01}


def _arm(name: str) -> Arm:
    return Arm(name, (Deployment(name, "openai", "http://x", name, Price(1, 1)),))


CATALOGUE = Catalog(
    arms={name: _arm(name) for name in COSTS},
    plans={
        "cheap": Plan("cheap", ("cheap",), 0.001),
        "strong": Plan("strong", ("strong",), 0.01),
        "ladder": Plan("ladder", ("cheap", "strong"), 0.004),
    },
)


def fresh() -> Policy:
    settings = PolicySettings(units=UTILITY.units, weights=UTILITY.weights, shape=MAP.shape)
    return make_policy("adaptive", settings, MAP.version, np.random.default_rng(0))


def context(cluster: int) -> Context:
    """Returns the context at the centre of a cluster."""
    membership = np.zeros(MAP.shape.clusters)
    membership[cluster] = 1.0
    return Context(membership, np.zeros(MAP.shape.axes), np.zeros(MAP.shape.features), MAP.version)


def answered(arm: str, text: str = "4", **more: object) -> Answered:
    ending = FinishReason.STOP
    return Answered("k", 1, arm, arm, text, ending, 10, 5, COSTS[arm], 100.0, **more)  # type: ignore[arg-type]


def failed(arm: str, why: str = "provider_timeout") -> Failed:
    return Failed("k", 1, arm, why, 0.0005, 0.01, 2_000.0)


def prompt(number: int = 0) -> Prompt:
    text = f"Explain glacier number {number}." if number % 2 else f"Solve equation number {number}."
    return read_prompts([f'{{"prompt": "{text}"}}'.encode()], "p")[0]


def case(number: int, qualities: dict[str, float | None], **replies: Reply) -> CollectedPrompt:
    """replies: instead of plain answers."""
    made: dict[str, Reply] = {arm: answered(arm) for arm in COSTS}
    scores = {arm: Score(quality) for arm, quality in qualities.items()}
    return CollectedPrompt(prompt(number), made | replies, scores)


def world(
    count: int, quality: Callable[[int, str, np.random.Generator], float], seed: int = 0
) -> tuple[list[CollectedPrompt], list[Context]]:
    """quality(cluster, arm, rng); clusters 0 and 1 in turn."""
    rng = np.random.default_rng(seed)
    cases = [case(i, {arm: quality(i % 2, arm, rng) for arm in COSTS}) for i in range(count)]
    return cases, [context(i % 2) for i in range(count)]


def strategy(name: str, quality: float, cost_usd: float, n: int = 100) -> Strategy:
    """Half of the prompts a little better, the other half a little worse."""
    numbers = np.tile([quality, cost_usd, quality - cost_usd], (n, 1))
    numbers[::2, QUALITY] += 0.1
    numbers[1::2, QUALITY] -= 0.1
    return Strategy(name, "arm", numbers)
