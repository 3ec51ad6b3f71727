"""Made-up answers in front of a gate, for tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandit import ContextShape, Units, Weights
from bandit.gates import Gate, GateExample, GateInput, GateSettings, Prices
from bandit.types import Context

VERSION = "map"
SIGNALS = "s1"
SHAPE = ContextShape(clusters=6, axes=4, features=3)
SETTINGS = GateSettings(units=Units(cost_usd=1.0), shape=SHAPE, signals=5, draws=64)
PRICES = Prices(second_usd=0.02, strong_usd=1.0)
LATER = Prices(second_usd=None, strong_usd=1.0)
ALONE = Prices(second_usd=None, strong_usd=None)
WEIGHTS = Weights(quality=1.0, cost=0.1)


def context(rng: np.random.Generator) -> Context:
    membership = rng.dirichlet(np.ones(SHAPE.clusters))
    return Context(membership, rng.normal(size=4), rng.normal(size=3) / 2, VERSION)


def seen(
    rng: np.random.Generator, agreement: float | None = None, *, hint: float = 0.0
) -> GateInput:
    """hint: the first signal, the only one that tells anything."""
    signals = np.clip(rng.normal(size=5) / 2, -1, 1.5)
    signals[0] = hint
    second = None if agreement is None else np.clip(rng.normal(size=5) / 2, -1, 1.5)
    return GateInput(context(rng), signals, SIGNALS, agreement, second)


@dataclass(frozen=True, slots=True)
class World:
    """Exact answers to prompts, half of them hard, which the first signal shows.

    easy, hard: P(first ok) of either; the second is as good and errs on its own, the strong arm
    is right in 19 of 20.
    """

    easy: float = 0.98
    hard: float = 0.4

    def lesson(self, rng: np.random.Generator, *, asked: bool = True) -> GateExample:
        hard = rng.random() < 0.5
        p = self.hard if hard else self.easy
        first, second = rng.random(2) < p
        agreement = float(first and second) if asked else None
        return GateExample(
            seen(rng, agreement, hint=1.0 if hard else -1.0),
            first_ok=float(first),
            second_ok=float(second) if asked else None,
            strong_ok=float(rng.random() < 0.95),
            strong_cost_ratio=float(np.exp(0.2 * rng.normal())),
        )


def taught(gate: Gate, count: int, seed: int = 1, world: World | None = None) -> Gate:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        gate.learn([(world or World()).lesson(rng)])
    return gate
