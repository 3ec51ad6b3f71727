"""A small recorded set of closed answers: where two cheap arms agree they are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tiny
from numpy.typing import NDArray

from bench.experiments.cascade.plans import Trio, usual
from bench.experiments.cascade.replays import CascadeReplays, answers_of
from bench.lab.embeddings import default_cache, key_of, save
from bench.lab.jobs import Material, ReplayTerms
from bench.lab.provider import Answers
from bench.lab.setup import PlanSpec
from bench.lab.streams import Stream, StreamSpec, load

ROWS = 320
ARMS = ("small", "other", "large")
TRIO = Trio("small", "other", "large")
PLANS = {spec.name: spec for spec in usual(TRIO, read=True)}
HARD = 4
"""One prompt in so many: both cheap arms are then wrong, each in its own way."""


def columns(rows: int = ROWS, seed: int = 0) -> dict[str, list[Any]]:
    """`large` has short answers only."""
    rng = np.random.default_rng(seed)
    hard = rng.permutation(rows) % HARD == 0
    right = rng.integers(10, 99, rows)
    said = {"small": right + hard, "other": right + 2 * hard, "large": right}
    usd = {"small": 1e-4, "other": 5e-5, "large": 2e-3}
    found: dict[str, list[Any]] = {
        "prompt": [f"How many are there in box {i}?" for i in range(rows)],
        "kind": ["hard" if h else "easy" for h in hard],
    }
    for arm in ARMS:
        found[f"q_{arm}"] = (said[arm] == right).astype(float).tolist()
        found[f"c_{arm}"] = (usd[arm] * rng.lognormal(0, 0.2, rows)).tolist()
        found[f"ans_{arm}"] = [str(number) for number in said[arm]]
    for arm in ("small", "other"):
        found[f"text_{arm}"] = [f"I count them. The answer is {n}." for n in said[arm]]
    return found


def vectors(rows: int = ROWS) -> NDArray[np.float32]:
    """Returns embeddings of the prompts; nothing in them tells hard from easy."""
    return tiny.vectors(rows)


def keep_vectors() -> None:
    """Put them into the cache, where the command looks for them."""
    keys = (key_of(prompt) for prompt in columns()["prompt"])
    save(default_cache(), dict(zip(keys, vectors(), strict=True)))


def stream(path: Path, requests: int = 120, **changed: Any) -> Stream:
    return load(StreamSpec("told", path, ARMS, requests=requests, **changed))


def worker(made: Stream, answers: Answers | None = None, **terms: Any) -> CascadeReplays:
    said = answers_of(made.data, "told.parquet") if answers is None else answers
    material = Material(
        {"told": made}, {"told": vectors()}, ReplayTerms(**terms), answers={"told": said}
    )
    return CascadeReplays(material)


def plan(gate: str, second: str = "other") -> PlanSpec:
    return PlanSpec("plan", "small", "large", second, gate)
