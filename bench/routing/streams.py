"""Which rows are a stream, in which order, and which others may be looked at before it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from bandit.context.fitting import MIN_PROMPTS
from bench.routing.errors import BenchError
from bench.routing.recorded import Recorded, Rows, data_dir, read

PRICE_SAMPLE: Final = 200
"""Rows outside the stream from which typical costs, and so the fixed price prior, are taken."""
LEAST_ASIDE: Final = 20
ASIDE: Final = 300
"""Rows a stream of no given length leaves: enough to fit a context map on."""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """where: conditions on the stream's rows. aside: on rows that are never in it.

    An empty `aside` leaves those rows of `where` that the stream does not take. requests: length
    of the stream, None for as many as there are.
    """

    name: str
    path: Path
    arms: tuple[str, ...]
    where: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    requests: int | None = None
    prompt_column: str = "prompt"


@dataclass(frozen=True, slots=True)
class Stream:
    """A spec with its data. unit_usd: what one unit of cost is, alike for every seed."""

    spec: StreamSpec
    data: Recorded
    unit_usd: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """rows: the stream in its order. aside: others, in random order, no prompt in both."""

    rows: Rows
    aside: Rows

    @property
    def priced(self) -> Rows:
        return self.aside[:PRICE_SAMPLE]


_K4 = ("llama31_8b", "mistral_large", "gemini25_flash", "gemini25_pro")
_PAIR = ("mixtral_8x7b", "gpt4_1106")
_GSM = ("llama31_8b", "gemini15_flash", "gpt_4o_mini", "llama31_70b", "o1_mini")


def known_streams() -> dict[str, StreamSpec]:
    """The recorded sets that come with their own description, by name."""
    k4, pair, gsm = (
        data_dir() / f"{name}.parquet"
        for name in ("paretobandit_k4", "routellm_pair", "gsm_answers")
    )
    test, val, clean = ("split==test",), ("split==val",), ("contaminated==false",)
    three = tuple(arm for arm in _K4 if arm != "gemini25_flash")
    few = ("gemini15_flash", "gpt_4o_mini", "o1_mini")
    specs = (
        StreamSpec("paretobandit_k4", k4, three, test, val),
        StreamSpec("paretobandit_k4-4arms", k4, _K4, test, val),
        StreamSpec("routellm_pair-3000", pair, _PAIR, clean, requests=3_000),
        StreamSpec("routellm_pair-10000", pair, _PAIR, clean, requests=10_000),
        StreamSpec("routellm_mmlu-14000", pair, _PAIR, (*clean, "task==mmlu"), requests=14_000),
        StreamSpec("gsm_answers", gsm, few),
        StreamSpec("gsm_answers-5arms", gsm, _GSM),
    )
    return {spec.name: spec for spec in specs}


def load(spec: StreamSpec, unit_usd: float | None = None) -> Stream:
    """unit_usd: None for the dearest arm's mean cost over all rows the stream is drawn from.

    Raises:
        DataAbsent, BenchError.

    """
    data = read(spec.path, spec.arms, spec.prompt_column)
    pool = data.rows_where(spec.where)
    if not len(pool):
        raise BenchError(f"no row of {spec.path.name} fits {' and '.join(spec.where)}")
    dearest_usd = float(data.cost_usd[pool].mean(axis=0).max())
    unit_usd = unit_usd or dearest_usd
    if not unit_usd:
        raise BenchError("every recorded cost is 0: give --cost-unit-usd")
    return Stream(spec, data, unit_usd)


def shortened(spec: StreamSpec, requests: int | None) -> StreamSpec:
    if requests is None:
        return spec
    return replace(spec, requests=min(requests, spec.requests or requests))


def draw(stream: Stream, seed: int, calibrate: int = 0) -> Drawn:
    """Shuffled by the seed. calibrate: rows that `aside` must have at least.

    Raises:
        BenchError: there are too few rows.

    """
    spec, data = stream.spec, stream.data
    rng = np.random.default_rng([seed, 0])
    pool = rng.permutation(data.rows_where(spec.where))
    if spec.aside:
        wanted = spec.requests or len(pool)
        rest = rng.permutation(data.rows_where(spec.aside))
    else:
        keep = max(calibrate, MIN_PROMPTS if len(pool) >= 4 * MIN_PROMPTS else LEAST_ASIDE)
        most = max(len(pool) - ASIDE, len(pool) // 2)
        wanted = min(spec.requests or most, len(pool) - keep)
        wanted = _leaving(keep, data, pool, wanted)
        rest = pool[wanted:]
    rows = pool[:wanted]
    drawn = Drawn(rows, _unseen(data, rows, rest))
    if not len(rows) or len(drawn.aside) < max(calibrate, 1):
        raise BenchError(
            f"{spec.name} leaves {len(drawn.aside)} prompts beside its {len(rows)} requests, "
            f"{max(calibrate, 1)} are wanted; ask for fewer with --requests or --calibrate"
        )
    return drawn


def _leaving(keep: int, data: Recorded, pool: Rows, wanted: int) -> int:
    """The most rows, up to `wanted`, beside which `keep` are left with prompts of their own."""
    while wanted > 0:
        lacking = keep - len(_unseen(data, pool[:wanted], pool[wanted:]))
        if lacking <= 0:
            return wanted
        wanted -= lacking
    return 0


def _unseen(data: Recorded, rows: Rows, rest: Rows) -> Rows:
    seen = {data.prompts[row] for row in rows}
    return np.array([row for row in rest if data.prompts[row] not in seen], dtype=np.intp)
