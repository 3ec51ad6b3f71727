"""Microseconds per decision and per learned outcome; size and time of a snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

from bandit import (
    Action,
    Context,
    ContextMap,
    Outcome,
    Policy,
    PolicySettings,
    PromptFacts,
    Weights,
    load_policy,
    make_policy,
)

POLICIES = ("adaptive", "squarecb")
ACTIONS = tuple(
    Action(name, usd)
    for name, usd in (("cheap", 1e-4), ("reasoning", 3e-3), ("ladder", 1e-3), ("fallback", 4e-4))
)
COLUMNS = (
    *("policy", "decide p50 µs", "p99 µs", "learn mean µs", "p99 µs", "snapshot KiB"),
    *("save ms", "load ms"),
)
DIMENSIONS = 384
SEED = 0
T = TypeVar("T")


def run(events: int) -> None:
    table = Table(title=f"{events} decisions and outcomes, {len(ACTIONS)} actions, one thread")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for name in POLICIES:
        table.add_row(name, *_measure(name, events))
    Console(width=110).print(table)


def _measure(name: str, events: int) -> list[str]:
    context_map, rng = ContextMap.default(), np.random.default_rng(SEED)
    settings = PolicySettings(cold_start="ladder")
    policy = make_policy(name, settings, context_map.version, rng)
    contexts = [_context(context_map, rng) for _ in range(events)]
    decide_us, learn_us = _drive(policy, contexts, rng)
    payload, save_us = _timed(policy.save)
    _, load_us = _timed(lambda: load_policy(payload, settings, context_map.version))
    spent_us = [np.percentile(decide_us, 50), np.percentile(decide_us, 99), np.mean(learn_us)]
    whole = (*spent_us, np.percentile(learn_us, 99), len(payload) / 1024)
    return [*(f"{n:.0f}" for n in whole), f"{save_us / 1_000:.1f}", f"{load_us / 1_000:.1f}"]


def _context(context_map: ContextMap, rng: np.random.Generator) -> Context:
    embedding = rng.normal(size=DIMENSIONS)
    unit = (embedding / np.linalg.norm(embedding)).astype(np.float32)
    return context_map.build(unit, PromptFacts(text="x" * int(rng.integers(20, 400))))


def _drive(
    policy: Policy, contexts: list[Context], rng: np.random.Generator
) -> tuple[list[float], list[float]]:
    decide_us, learn_us, actions = [], [], {a.name: a for a in ACTIONS}
    for context in contexts:
        decision, took_us = _timed(partial(policy.decide, context, ACTIONS, Weights()))
        decide_us.append(took_us)
        action = actions[decision.action]
        cost_usd = action.prior_cost_usd * float(rng.lognormal(0, 0.5))
        quality = float(rng.integers(2))
        outcome = Outcome(
            action, context, decision.propensity, quality, cost_usd, latency_ms=900, failed=False
        )
        _, took_us = _timed(partial(policy.learn, [outcome]))
        learn_us.append(took_us)
    return decide_us, learn_us


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began_ns = time.perf_counter_ns()
    done = work()
    return done, (time.perf_counter_ns() - began_ns) / 1_000
