"""Streams whose outcomes are edited from the step on at which something changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.experiments.drift.scenarios import AREA, DROP, PRICE_FACTOR, Scenario
from bench.lab.figures import outcomes
from bench.lab.recorded import Recorded, Rows
from bench.lab.streams import Split, Stream

PRICE_LOSS: Final = 0.15
MOST_PRICE_FACTOR: Final = 10.0
"""The price factor grows up to this one until the change costs `PRICE_LOSS`."""
AREA_DROP: Final = 0.6
USELESS_FACTOR: Final = 0.5
WEIGHT_FACTOR: Final = 10.0


@dataclass(frozen=True, slots=True)
class ChangingStream:
    """A stream with its edited outcomes.

    target: column of the arm that changes. start, end: steps; end None for a change that stays.
    late: the target may be chosen from `start` on only. price_factor: of its price prior from
    `start` on. weight_factor: of the cost weight. concerned: (n,), steps the change is felt at.
    """

    stream: Stream
    rows: Rows
    target: int
    start: int
    end: int | None
    concerned: NDArray[np.bool_]
    late: bool = False
    price_factor: float = 1.0
    weight_factor: float = 1.0
    notes: Mapping[str, float] = field(default_factory=dict)


def changing(
    scenario: Scenario,
    stream: Stream,
    split: Split,
    embeddings: NDArray[np.float32],
    *,
    cost_weight: float,
    seed: int,
) -> ChangingStream:
    """Apply a scenario to a stream; embeddings: (rows recorded, d)."""
    n = len(split.rows)
    start = round(scenario.start * n)
    end = None if scenario.end is None else round(scenario.end * n)
    best = int(outcomes(stream, split.rows, cost_weight).reward.mean(axis=0).argmax())
    everywhere = np.ones(n, dtype=bool)
    plain = ChangingStream(stream, split.rows, best, start, end, everywhere)
    make = _MAKERS[scenario.name]
    return make(plain, _Inputs(embeddings, cost_weight, np.random.default_rng([seed, 3])))


@dataclass(frozen=True, slots=True)
class _Inputs:
    embeddings: NDArray[np.float32]
    cost_weight: float
    rng: np.random.Generator


def _same(plain: ChangingStream, _: _Inputs) -> ChangingStream:
    return plain


def _drop(plain: ChangingStream, inputs: _Inputs) -> ChangingStream:
    return _worse(plain, inputs, DROP, plain.concerned)


def _outage(plain: ChangingStream, inputs: _Inputs) -> ChangingStream:
    return _worse(plain, inputs, 1.0, plain.concerned)


def _area(plain: ChangingStream, inputs: _Inputs) -> ChangingStream:
    """Change the prompts closest to one drawn at random."""
    vectors = inputs.embeddings[plain.rows]
    close = vectors @ vectors[inputs.rng.integers(len(vectors))]
    near = close >= np.quantile(close, 1 - AREA)
    return replace(_worse(plain, inputs, AREA_DROP, near), concerned=near)


def _priced(plain: ChangingStream, inputs: _Inputs) -> ChangingStream:
    cost_usd = plain.stream.data.cost_usd[plain.rows, plain.target].mean()
    felt = inputs.cost_weight * cost_usd / plain.stream.unit_usd
    wanted = 1 + PRICE_LOSS / max(felt, 1e-9)
    factor = min(max(PRICE_FACTOR, wanted), MOST_PRICE_FACTOR)
    changed = plain.stream.data.cost_usd.copy()
    changed[plain.rows[plain.start :], plain.target] *= factor
    dearer = _with(plain, replace(plain.stream.data, cost_usd=changed))
    return replace(dearer, notes={"factor": factor})


def _price(plain: ChangingStream, inputs: _Inputs) -> ChangingStream:
    dearer = _priced(plain, inputs)
    return replace(dearer, price_factor=dearer.notes["factor"])


def _weights(plain: ChangingStream, _: _Inputs) -> ChangingStream:
    return replace(plain, weight_factor=WEIGHT_FACTOR)


def _newcomer(plain: ChangingStream, _: _Inputs) -> ChangingStream:
    return replace(plain, late=True)


def _useless(plain: ChangingStream, inputs: _Inputs) -> ChangingStream:
    """Offer the dearest arm late, at half its quality."""
    data = plain.stream.data
    dearest = int(data.cost_usd[plain.rows].mean(axis=0).argmax())
    lost = USELESS_FACTOR * float(data.quality[plain.rows, dearest].mean())
    at_once = replace(plain, target=dearest, start=0)
    worse = _worse(at_once, inputs, lost, plain.concerned)
    return replace(worse, start=plain.start, late=True)


_MAKERS: Final[Mapping[str, Callable[[ChangingStream, _Inputs], ChangingStream]]] = {
    "stationary": _same,
    "drop": _drop,
    "outage": _outage,
    "recovery": _drop,
    "price": _price,
    "weights": _weights,
    "newcomer": _newcomer,
    "useless": _useless,
    "silent-price": _priced,
    "area": _area,
}


def _worse(
    plain: ChangingStream, inputs: _Inputs, by: float, where: NDArray[np.bool_]
) -> ChangingStream:
    """Lower graded qualities by `by`; where they are 0 or 1, turn as many to 0 as that takes."""
    data, until = plain.stream.data, plain.end or len(plain.rows)
    felt = np.arange(plain.start, until)[where[plain.start : until]]
    quality, rows = data.quality.copy(), plain.rows[felt]
    quality[rows, plain.target] = worsened(quality[rows, plain.target], by, inputs.rng)
    return _with(plain, replace(data, quality=quality))


def worsened(
    quality: NDArray[np.float64], by: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    if not np.isin(quality, (0.0, 1.0)).all():
        return np.maximum(0.0, quality - by)
    kept = max(0.0, 1 - by / max(float(quality.mean()), 1e-9))
    thinned: NDArray[np.float64] = quality * (rng.random(len(quality)) < kept)
    return thinned


def _with(plain: ChangingStream, data: Recorded) -> ChangingStream:
    return replace(plain, stream=replace(plain.stream, data=data))
