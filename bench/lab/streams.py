"""Streams of requests drawn from recorded sets, and the held-out rows beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import click
import numpy as np

from bandit.context.fitting import MIN_PROMPTS
from bench.lab.made import MadeArm
from bench.lab.recorded import BenchError, DataAbsent, Recorded, Rows, data_dir, read

PRICE_SAMPLE: Final = 200
"""Rows outside the stream from which typical costs, and so the fixed price prior, are taken."""
LEAST_HELD_OUT: Final = 20
HELD_OUT: Final = 300
"""Rows a stream of no given length leaves: enough to fit a context map on."""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A recorded set and the conditions under which its rows make a stream.

    where: conditions on the stream's rows. held_out: on rows that are never in it; empty for those
    rows of `where` that the stream does not take. requests: length, None for as many as there are.
    made: arms beside those recorded.
    """

    name: str
    path: Path
    arms: tuple[str, ...]
    where: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    requests: int | None = None
    prompt_column: str = "prompt"
    made: tuple[MadeArm, ...] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """A spec with its data. unit_usd: one unit of cost, the same for every seed."""

    spec: StreamSpec
    data: Recorded
    unit_usd: float


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of a stream in their order, and held-out rows in random order; no prompt is in both."""

    rows: Rows
    held_out: Rows

    @property
    def priced(self) -> Rows:
        return self.held_out[:PRICE_SAMPLE]


_K4 = ("llama31_8b", "mistral_large", "gemini25_flash", "gemini25_pro")
_PAIR = ("mixtral_8x7b", "gpt4_1106")
_GSM = ("llama31_8b", "gemini15_flash", "gpt_4o_mini", "llama31_70b", "o1_mini")


TUNING: Final = "-tuning"
"""End of the names of streams that settings may be chosen by, and that are not reported."""

MADE_GSM: Final = (
    MadeArm("m1", "gemini15_flash", "gpt_4o_mini", 0.5, 1.1),
    MadeArm("m2", "gemini15_flash", "llama31_70b", 0.5, 1.1),
    MadeArm("m3", "gpt_4o_mini", "o1_mini", 0.5, 1.1),
    MadeArm("m4", "gpt_4o_mini", "llama31_70b", 0.5, 1.1),
    MadeArm("m5", "llama31_8b", "gpt_4o_mini", 0.5, 1.1),
    MadeArm("m6", "llama31_70b", "o1_mini", 0.5, 1.1),
    MadeArm("m7", "llama31_8b", "gemini15_flash", 0.5, 1.1),
)
"""A coin for each prompt, at a tenth more than half of both prices."""

_WEAK, _STRONG = _PAIR
MADE_PAIR: Final = (
    MadeArm("m1", _WEAK, _STRONG, 0.5, 0.4),
    MadeArm("m2", _WEAK, _STRONG, 0.25, 0.2, "subject"),
    MadeArm("m3", _WEAK, _STRONG, 0.75, 0.8),
    MadeArm("m4", _WEAK, _STRONG, 0.5, 0.6, "subject"),
    MadeArm("m5", _WEAK, _STRONG, 0.9, 0.3),
    MadeArm("m6", _WEAK, _STRONG, 0.1, 0.5),
    MadeArm("m7", _WEAK, _STRONG, 0.25, 0.4),
    MadeArm("m8", _WEAK, _STRONG, 0.9, 0.5, "subject"),
    MadeArm("m9", _WEAK, _STRONG, 0.75, 0.25, "subject"),
    MadeArm("m10", _WEAK, _STRONG, 0.5, 0.3),
)
"""Arms made of two, as a market might have them: some cheap for what they are, some specialists."""

MADE_K4: Final = (
    MadeArm("m1", "llama31_8b", "mistral_large", 0.5, 0.8),
    MadeArm("m2", "mistral_large", "gemini25_pro", 0.5, 0.5, "source"),
    MadeArm("m3", "llama31_8b", "gemini25_flash", 0.8, 0.4),
    MadeArm("m4", "gemini25_flash", "gemini25_pro", 0.5, 0.25),
    MadeArm("m5", "llama31_8b", "gemini25_pro", 0.7, 0.1, "source"),
    MadeArm("m6", "llama31_8b", "mistral_large", 0.3, 0.5),
    MadeArm("m7", "mistral_large", "gemini25_flash", 0.5, 1.5, "source"),
    MadeArm("m8", "llama31_8b", "gemini25_pro", 0.9, 0.3),
)
"""Arms made of four, as in a market."""


SHORT_STREAMS: Final = {
    "paretobandit_k4": "paretobandit_k4",
    "paretobandit_k4-4arms": "paretobandit_k4-4arms",
    "routellm_pair": "routellm_pair-3000",
    "gsm_answers-5arms": "gsm_answers-5arms",
}
"""Known streams that experiments cut short, by the names they have there."""


def known_streams() -> dict[str, StreamSpec]:
    """Returns the streams whose sets are described here, by name."""
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
        *_made_streams(gsm, pair, k4),
    )
    return {spec.name: spec for spec in specs}


def _made_streams(gsm: Path, pair: Path, k4: Path) -> list[StreamSpec]:
    """Returns streams of 7 and 12 arms."""
    clean, val = ("contaminated==false",), ("split==val",)
    specs = []
    for k in (7, 12):
        few, long, tuned = k - len(_GSM), k - len(_PAIR), k - len(_K4)
        specs += [
            StreamSpec(f"made-{k}", pair, _PAIR, clean, requests=2_500, made=MADE_PAIR[:long]),
            StreamSpec(f"made-{k}-gsm", gsm, _GSM, made=MADE_GSM[:few]),
            StreamSpec(f"made-{k}{TUNING}", k4, _K4, val, made=MADE_K4[:tuned]),
        ]
    return specs


def load(spec: StreamSpec, unit_usd: float | None = None) -> Stream:
    """Read a stream; without `unit_usd` one unit is the dearest arm's mean cost.

    Raises DataAbsent or BenchError.
    """
    data = read(spec.path, spec.arms, spec.prompt_column, spec.made)
    pool = data.rows_where(spec.where)
    if not len(pool):
        raise BenchError(f"no row of {spec.path.name} fits {' and '.join(spec.where)}")
    dearest_usd = float(data.cost_usd[pool].mean(axis=0).max())
    unit_usd = unit_usd or dearest_usd
    if not unit_usd:
        raise BenchError("every recorded cost is 0: give --cost-unit-usd")
    return Stream(spec, data, unit_usd)


def load_available(
    specs: Sequence[StreamSpec],
    unit_usd: float | None = None,
    *,
    calibrate: int = 0,
    skip_short: bool = False,
) -> dict[str, Stream]:
    """Load streams by name; sets that are not on this machine are skipped with a notice.

    calibrate: held-out rows that each must have. skip_short: skip streams with too few rows too.
    """
    streams = {}
    for spec in specs:
        try:
            stream = load(spec, unit_usd)
            draw(stream, 0, calibrate)
        except DataAbsent as absent:
            click.echo(f"skipped {spec.name}: {absent}", err=True)
        except BenchError as short:
            if not skip_short:
                raise
            click.echo(f"skipped {spec.name}: {short}", err=True)
        else:
            streams[spec.name] = stream
    return streams


def named_streams(names: Sequence[str], requests: int) -> list[StreamSpec]:
    """Returns specs of `SHORT_STREAMS` with at most so many requests."""
    known = known_streams()
    return [shortened(replace(known[SHORT_STREAMS[n]], name=n), requests) for n in names]


def shortened(spec: StreamSpec, requests: int | None) -> StreamSpec:
    if requests is None:
        return spec
    return replace(spec, requests=min(requests, spec.requests or requests))


def draw(stream: Stream, seed: int, calibrate: int = 0) -> Split:
    """Shuffle by the seed; raises BenchError when fewer than `calibrate` rows can be held out."""
    spec, data = stream.spec, stream.data
    rng = np.random.default_rng([seed, 0])
    pool = rng.permutation(data.rows_where(spec.where))
    if spec.held_out:
        wanted = spec.requests or len(pool)
        rest = rng.permutation(data.rows_where(spec.held_out))
    else:
        keep = max(calibrate, MIN_PROMPTS if len(pool) >= 4 * MIN_PROMPTS else LEAST_HELD_OUT)
        most = max(len(pool) - HELD_OUT, len(pool) // 2)
        wanted = min(spec.requests or most, len(pool) - keep)
        wanted = _leaving(keep, data, pool, wanted)
        rest = pool[wanted:]
    rows = pool[:wanted]
    split = Split(rows, _unseen(data, rows, rest))
    if not len(rows) or len(split.held_out) < max(calibrate, 1):
        raise BenchError(
            f"{spec.name} leaves {len(split.held_out)} prompts beside its {len(rows)} requests, "
            f"{max(calibrate, 1)} are wanted; ask for fewer with --requests or --calibrate"
        )
    return split


def _leaving(keep: int, data: Recorded, pool: Rows, wanted: int) -> int:
    """Returns the most rows, up to `wanted`, that leave `keep` others with prompts of their own."""
    while wanted > 0:
        lacking = keep - len(_unseen(data, pool[:wanted], pool[wanted:]))
        if lacking <= 0:
            return wanted
        wanted -= lacking
    return 0


def _unseen(data: Recorded, rows: Rows, rest: Rows) -> Rows:
    seen = {data.prompts[row] for row in rows}
    return np.array([row for row in rest if data.prompts[row] not in seen], dtype=np.intp)
