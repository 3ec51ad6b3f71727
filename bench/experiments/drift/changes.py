"""Scenarios, and streams whose outcomes are edited from the step of a change on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.lab.figures import outcomes
from bench.lab.recorded import Recorded, Rows
from bench.lab.streams import Split, Stream

DROP: Final = 0.3
PRICE_FACTOR: Final = 4.0
PRICE_LOSS: Final = 0.15
MOST_PRICE_FACTOR: Final = 10.0
"""The price factor grows up to this one until the change costs `PRICE_LOSS`."""
AREA: Final = 0.2
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


@dataclass(frozen=True, slots=True)
class _Inputs:
    embeddings: NDArray[np.float32]
    cost_weight: float
    rng: np.random.Generator


def _set(plain: ChangingStream, _: _Inputs, **fields: Any) -> ChangingStream:
    return replace(plain, **fields)


def _worse(plain: ChangingStream, inputs: _Inputs, by: float) -> ChangingStream:
    """Lower graded qualities by `by`; where they are 0 or 1, turn as many to 0 as that takes."""
    data, until = plain.stream.data, plain.end or len(plain.rows)
    felt = np.arange(plain.start, until)[plain.concerned[plain.start : until]]
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


def _area(plain: ChangingStream, inputs: _Inputs) -> ChangingStream:
    """Change the prompts closest to one drawn at random."""
    vectors = inputs.embeddings[plain.rows]
    close = vectors @ vectors[inputs.rng.integers(len(vectors))]
    near = close >= np.quantile(close, 1 - AREA)
    return _worse(replace(plain, concerned=near), inputs, AREA_DROP)


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


def _useless(plain: ChangingStream, inputs: _Inputs) -> ChangingStream:
    """Offer the dearest arm late, at half its quality."""
    data = plain.stream.data
    dearest = int(data.cost_usd[plain.rows].mean(axis=0).argmax())
    lost = USELESS_FACTOR * float(data.quality[plain.rows, dearest].mean())
    at_once = replace(plain, target=dearest, start=0)
    worse = _worse(at_once, inputs, lost)
    return replace(worse, start=plain.start, late=True)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A change of one stream.

    start, end: of the change, as shares of the stream; end None for one that stays.

    goal: `back` the reward is that of the best arm, `left` the arm is given up, `found` it is
    called again, `fair` as much as it would be otherwise, `spared` it is not called much, `still`
    nothing is lost. most: requests (a share of them for `spared`, reward for `still`) it may take;
    None where no mark is set.
    """

    name: str
    said: str
    goal: str
    most: float | None
    change: Callable[[ChangingStream, _Inputs], ChangingStream] = field(compare=False)
    start: float = 0.4
    end: float | None = None


_drop, _outage = partial(_worse, by=DROP), partial(_worse, by=1.0)
_ALL: Final = (
    Scenario("stationary", "nothing changes", "still", 0.0005, _set),
    Scenario("drop", f"quality of the best arm -{DROP:g}, in silence", "back", 60, _drop),
    Scenario("outage", "quality of the best arm 0, no error says so", "left", 25, _outage),
    Scenario(
        "recovery", f"the best arm drops by {DROP:g} and recovers", "found", 500, _drop, 0.25, 0.45
    ),
    Scenario(
        "price", f"price of the best arm times {PRICE_FACTOR:g} or more, known", "back", 1, _price
    ),
    Scenario(
        "weights",
        "weight of cost times ten, known",
        "back",
        1,
        partial(_set, weight_factor=WEIGHT_FACTOR),
    ),
    Scenario("newcomer", "the best arm comes late", "fair", 300, partial(_set, late=True)),
    Scenario("useless", "an arm that is dear and bad comes late", "spared", 0.05, _useless),
    Scenario(
        "silent-price", "price of the best arm times 4 or more, in silence", "back", None, _priced
    ),
    Scenario("area", f"best arm -.6 on the {AREA:.0%} of prompts next to one", "back", None, _area),
)


def known_scenarios() -> Mapping[str, Scenario]:
    return {scenario.name: scenario for scenario in _ALL}


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
    rng = np.random.default_rng([seed, 3])
    return scenario.change(plain, _Inputs(embeddings, cost_weight, rng))
