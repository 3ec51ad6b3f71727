#!/usr/bin/env python3
"""Print microseconds per decision and per learned outcome, and the cost of a snapshot.

Usage: scripts/bench_decide.py [--actions N] [--rounds N] [--policies NAME ...]
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the router runs it so; set before numpy loads

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np

from bandit import (
    POLICY_NAMES,
    Action,
    Context,
    ContextShape,
    Outcome,
    Policy,
    PolicySettings,
    Weights,
    load_policy,
    make_policy,
)

SETTINGS = PolicySettings()
VERSION = "bench"
REPEATS = 20


def make_contexts(count: int, shape: ContextShape) -> list[Context]:
    rng = np.random.default_rng(0)
    contexts = []
    for _ in range(count):
        membership = np.zeros(shape.clusters)
        membership[rng.choice(shape.clusters, 4, replace=False)] = rng.dirichlet(np.ones(4))
        axes, features = rng.normal(size=shape.axes), rng.uniform(-1, 1, shape.features)
        contexts.append(Context(membership, axes / np.sqrt(shape.axes), features, VERSION))
    return contexts


def timed_us(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e6


def rounds(policy: Policy, actions: list[Action], contexts: list[Context]) -> list[np.ndarray]:
    """Alternate decisions and outcomes with every part; us of each, (rounds,) twice."""
    rng, decide_us, learn_us = np.random.default_rng(1), [], []
    for context in contexts:
        start = time.perf_counter()
        decision = policy.decide(context, actions, Weights())
        decide_us.append((time.perf_counter() - start) * 1e6)
        index = next(i for i, a in enumerate(actions) if a.name == decision.action)
        action = actions[index]
        outcome = Outcome(
            action=action,
            context=context,
            propensity=decision.propensity,
            quality=float(rng.random() < 0.5 + 0.1 * index * context.features[0]),
            cost_usd=action.prior_cost_usd * rng.lognormal(0, 0.5),
            latency_ms=500 * rng.lognormal(0, 0.5),
            failed=bool(rng.random() < 0.01),  # noqa: PLR2004 - one call in a hundred
        )
        learn_us.append(timed_us(lambda o=outcome: policy.learn([o])))
    return [np.array(decide_us), np.array(learn_us)]


def show(label: str, us: np.ndarray) -> None:
    p50, p99 = np.percentile(us, [50, 99])
    print(f"  {label:24} mean {us.mean():7.0f}   p50 {p50:7.0f}   p99 {p99:7.0f} us")


def measure(name: str, actions: list[Action], contexts: list[Context]) -> None:
    policy = make_policy(name, SETTINGS, VERSION, np.random.default_rng(2))
    decide_us, learn_us = rounds(policy, actions, contexts)
    print(f"{name}, {len(actions)} actions, {len(contexts)} rounds")
    show("decide", decide_us)
    show("learn, all four parts", learn_us)
    payload = policy.save()
    show("snapshot save", np.array([timed_us(policy.save) for _ in range(REPEATS)]))
    restore = lambda: load_policy(payload, SETTINGS, VERSION)  # noqa: E731 - timed below
    show("snapshot load", np.array([timed_us(restore) for _ in range(REPEATS)]))
    print(f"  {'snapshot size':24} {len(payload):,} bytes")


def main() -> int:
    parser = argparse.ArgumentParser(description="Time the policies on one thread.")
    parser.add_argument("--actions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3_000)
    parser.add_argument("--policies", nargs="+", choices=POLICY_NAMES, default=POLICY_NAMES[:2])
    args = parser.parse_args()
    actions = [Action(f"a{j}", 0.001 * (j + 1)) for j in range(args.actions)]
    contexts = make_contexts(args.rounds, SETTINGS.shape)
    for name in args.policies:
        measure(name, actions, contexts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
