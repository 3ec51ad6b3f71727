"""Every gate keeps its contract with its caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from answers import (
    ALONE,
    LATER,
    PRICES,
    SETTINGS,
    SHAPE,
    SIGNALS,
    VERSION,
    WEIGHTS,
    World,
    seen,
    taught,
)

from bandit import ContextShape, Weights
from bandit.errors import (
    BadAction,
    BadContext,
    BadOutcome,
    BadSettings,
    BadWeights,
    CorruptSnapshot,
    UnknownPolicy,
    VersionMismatch,
)
from bandit.gates import (
    GATE_NAMES,
    Gate,
    GateExample,
    GateInput,
    GateSettings,
    Prices,
    Step,
    load_gate,
    make_gate,
)
from bandit.snapshots.codec import Snapshot, pack, unpack

pytestmark = pytest.mark.parametrize("name", GATE_NAMES)
BEFORE = {Step.ACCEPT, Step.ASK, Step.ESCALATE}


def fresh(name: str, seed: int = 1, settings: GateSettings = SETTINGS) -> Gate:
    return make_gate(name, settings, VERSION, np.random.default_rng(seed))


def trained(name: str, count: int = 90) -> Gate:
    return taught(fresh(name), count)


@pytest.mark.parametrize("count", [0, 10, 90])
@pytest.mark.parametrize(
    ("agreement", "prices", "steps"),
    [
        (None, PRICES, BEFORE),
        (None, LATER, {Step.ACCEPT, Step.ESCALATE}),
        (None, Prices(0.02, None), {Step.ACCEPT, Step.ASK}),
        (None, ALONE, {Step.ACCEPT}),
        (0.0, LATER, {Step.ACCEPT, Step.SECOND, Step.ESCALATE}),
        (0.7, PRICES, {Step.ACCEPT, Step.SECOND, Step.ESCALATE}),
        (1.0, LATER, {Step.ACCEPT, Step.ESCALATE}),
        (0.0, ALONE, {Step.ACCEPT, Step.SECOND}),
        (1.0, ALONE, {Step.ACCEPT}),
    ],
)
def test_only_eligible_steps_with_honest_probabilities(
    name: str, count: int, agreement: float | None, prices: Prices, steps: set[Step]
) -> None:
    gate, rng = trained(name, count), np.random.default_rng(2)
    for _ in range(10):
        chosen = gate.choose(seen(rng, agreement), prices, WEIGHTS)
        assert set(chosen.probabilities) == set(chosen.values) == steps
        assert sum(chosen.probabilities.values()) == pytest.approx(1)
        assert chosen.propensity == chosen.probabilities[chosen.step] > 0
        assert 0 <= chosen.score <= 1
        assert np.isfinite(list(chosen.values.values())).all()


def test_choices_are_as_frequent_as_their_probabilities(name: str) -> None:
    """Sum of (chosen - probability) is a martingale; its spread is known from the probabilities."""
    gate, rng = trained(name, 40), np.random.default_rng(4)
    order = sorted(BEFORE)
    surprise, variance = np.zeros(3), np.zeros(3)
    for _ in range(1_500):
        chosen = gate.choose(seen(rng, hint=float(rng.normal())), PRICES, WEIGHTS)
        shares = np.array([chosen.probabilities[step] for step in order])
        surprise += np.array([step is chosen.step for step in order]) - shares
        variance += shares * (1 - shares)
    assert (abs(surprise) <= 4 * np.sqrt(variance) + 1e-9).all()


def test_a_restored_gate_goes_on_bit_for_bit(name: str) -> None:
    gate, rng = trained(name), np.random.default_rng(5)
    twin = load_gate(gate.save(), SETTINGS, VERSION)
    assert (twin.name, twin.learned) == (name, 90)
    for step in range(60):
        asked = [None, 0.0, 1.0][step % 3]
        what = seen(rng, asked, hint=float(rng.normal()))
        one, two = (g.choose(what, LATER if step % 3 else PRICES, WEIGHTS) for g in (gate, twin))
        assert one == two
        lesson = World().lesson(rng, asked=bool(step % 2))
        for each in (gate, twin):
            each.learn([lesson])
    assert gate.save() == twin.save()


def test_an_untaught_gate_can_be_saved(name: str) -> None:
    gate = fresh(name)
    twin = load_gate(gate.save(), SETTINGS, VERSION, name=name)
    what = seen(np.random.default_rng(1))
    assert twin.choose(what, PRICES, WEIGHTS) == gate.choose(what, PRICES, WEIGHTS)


def test_a_gate_loaded_with_its_own_random_source_draws_from_it(name: str) -> None:
    gate = trained(name)
    own = load_gate(gate.save(), SETTINGS, VERSION, np.random.default_rng(99))
    assert unpack(own.save()).meta["rng"] != unpack(gate.save()).meta["rng"]


def test_gate_state_stays_bounded_after_many_lessons(name: str) -> None:
    settings = replace(SETTINGS, memory=50)
    gate, rng = fresh(name, settings=settings), np.random.default_rng(6)
    sizes = []
    for _ in range(8):
        gate.learn([World().lesson(rng) for _ in range(50)])
        sizes.append(len(gate.save()))
    assert sizes[-1] - sizes[2] < 64  # a few digits of counts
    assert gate.learned == 400
    twin = load_gate(gate.save(), settings, VERSION)
    what = seen(rng)
    assert twin.choose(what, PRICES, WEIGHTS) == gate.choose(what, PRICES, WEIGHTS)


def test_gates_learn_from_lessons_without_labels(name: str) -> None:
    gate, rng = fresh(name), np.random.default_rng(7)
    gate.learn([])
    empty = GateExample(seen(rng))
    only = [
        replace(empty, seen=seen(rng, 0.3)),
        replace(empty, first_ok=0.3, weight=0.01),
        replace(empty, strong_cost_ratio=0.0),
        replace(empty, strong_cost_ratio=1e300),
        replace(empty, second_ok=1.0),
        GateExample(replace(seen(rng), second=np.zeros(5)), first_ok=1.0),
    ]
    gate.learn([empty, *only] * 10)
    assert gate.learned == 70
    chosen = gate.choose(seen(rng), PRICES, WEIGHTS)
    assert np.isfinite(list(chosen.values.values())).all()


def test_gates_choose_with_an_opinion_that_cannot_be_compared(name: str) -> None:
    gate, rng = trained(name), np.random.default_rng(8)
    what = replace(seen(rng), second=np.zeros(5))
    chosen = gate.choose(what, PRICES, WEIGHTS)
    assert set(chosen.probabilities) == {Step.ACCEPT, Step.SECOND, Step.ESCALATE}


Change = Callable[[GateInput], GateInput]
_BAD: list[tuple[str, Change, type[Exception]]] = [
    ("nan", lambda s: replace(s, signals=np.full(5, np.nan)), BadContext),
    ("inf", lambda s: replace(s, second=np.full(5, np.inf), agreement=0.0), BadContext),
    ("huge", lambda s: replace(s, signals=np.full(5, 1e6)), BadContext),
    ("width", lambda s: replace(s, signals=np.zeros(4)), BadContext),
    ("second's width", lambda s: replace(s, second=np.zeros(6)), BadContext),
    ("agreement", lambda s: replace(s, agreement=1.1), BadContext),
    ("agreement nan", lambda s: replace(s, agreement=float("nan")), BadContext),
    ("version", lambda s: replace(s, version="s2"), VersionMismatch),
    (
        "context's nan",
        lambda s: replace(s, context=replace(s.context, features=np.full(3, np.nan))),
        BadContext,
    ),
    (
        "context's shape",
        lambda s: replace(s, context=replace(s.context, membership=np.ones(7))),
        BadContext,
    ),
    (
        "context's version",
        lambda s: replace(s, context=replace(s.context, version="other")),
        VersionMismatch,
    ),
]


@pytest.mark.parametrize(("change", "error"), [b[1:] for b in _BAD], ids=[b[0] for b in _BAD])
def test_gates_refuse_bad_inputs_and_learn_nothing_of_them(
    name: str, change: Change, error: type[Exception]
) -> None:
    gate, good = trained(name, 5), seen(np.random.default_rng(9))
    before = gate.save()
    with pytest.raises(error):
        gate.choose(change(good), PRICES, WEIGHTS)
    with pytest.raises(error):
        gate.learn([GateExample(good, 1.0), GateExample(change(good), 1.0)])
    assert gate.save() == before


@pytest.mark.parametrize(
    "told",
    [
        {"first_ok": 1.5},
        {"second_ok": -0.1},
        {"strong_ok": float("nan")},
        {"strong_cost_ratio": -1.0},
        {"strong_cost_ratio": float("inf")},
        {"weight": 0.0},
        {"weight": 1.5},
        {"weight": float("nan")},
    ],
)
def test_bad_lessons_are_refused(name: str, told: dict[str, Any]) -> None:
    gate, good = trained(name, 5), GateExample(seen(np.random.default_rng(9)), 1.0)
    before = gate.save()
    with pytest.raises(BadOutcome):
        gate.learn([good, replace(good, **told)])
    assert gate.save() == before


@pytest.mark.parametrize("known", [-0.1, 1.1, float("nan")])
def test_an_input_must_be_a_part_of_the_price(name: str, known: float) -> None:
    with pytest.raises(BadAction):
        fresh(name).choose(seen(np.random.default_rng(9)), Prices(0.1, 1.0, known), WEIGHTS)


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_bad_prices_and_weights_are_refused(name: str, price: float) -> None:
    gate, what = fresh(name), seen(np.random.default_rng(9))
    for prices in (Prices(price, 1.0), Prices(0.1, price)):
        with pytest.raises(BadAction):
            gate.choose(what, prices, WEIGHTS)
    with pytest.raises(BadWeights):
        gate.choose(what, PRICES, Weights(cost=price))


def test_the_first_lessons_must_have_one_version(name: str) -> None:
    gate, rng = fresh(name), np.random.default_rng(10)
    other = replace(seen(rng), version="s2")
    with pytest.raises(VersionMismatch):
        gate.learn([GateExample(seen(rng), 1.0), GateExample(other, 1.0)])
    gate.learn([GateExample(other, 1.0)])
    with pytest.raises(VersionMismatch):
        gate.choose(seen(rng), PRICES, WEIGHTS)


@pytest.mark.parametrize(
    ("settings", "version"),
    [
        (SETTINGS, "another map"),
        (replace(SETTINGS, signals=6), VERSION),
        (replace(SETTINGS, signals_version="s2"), VERSION),
        (replace(SETTINGS, shape=ContextShape(7, 4, 3)), VERSION),
    ],
)
def test_a_snapshot_of_something_else_is_refused(
    name: str, settings: GateSettings, version: str
) -> None:
    payload = trained(name, 5).save()
    with pytest.raises(VersionMismatch):
        load_gate(payload, settings, version)
    other = next(each for each in GATE_NAMES if each != name)
    with pytest.raises(VersionMismatch):
        load_gate(payload, SETTINGS, VERSION, name=other)
    assert load_gate(payload, replace(SETTINGS, signals_version=SIGNALS), VERSION).learned == 5


def test_damaged_snapshots_are_refused(name: str) -> None:
    payload = trained(name, 40).save()
    for damaged in (b"", payload[:-1], payload[:60], payload[:-1] + b"\xff", b"x" * 500):
        with pytest.raises(CorruptSnapshot):
            load_gate(damaged, SETTINGS, VERSION)


def test_snapshots_that_make_no_sense_are_refused(name: str) -> None:
    snapshot = unpack(trained(name, 40).save())
    for key in snapshot.arrays:
        arrays = dict(snapshot.arrays)
        arrays[key] = np.zeros((3, 3, 3))
        with pytest.raises(CorruptSnapshot):
            load_gate(pack(Snapshot(name, snapshot.meta, arrays)), SETTINGS, VERSION)
        del arrays[key]
        with pytest.raises(CorruptSnapshot):
            load_gate(pack(Snapshot(name, snapshot.meta, arrays)), SETTINGS, VERSION)
    for meta in ({"learned": -1}, {"learned": "5"}, {"rng": {}}, {"signals_version": 3}):
        with pytest.raises(CorruptSnapshot):
            load_gate(
                pack(Snapshot(name, {**snapshot.meta, **meta}, snapshot.arrays)), SETTINGS, VERSION
            )


def test_other_random_sources_and_names_are_refused(name: str) -> None:
    odd = np.random.Generator(np.random.MT19937(1))
    with pytest.raises(BadSettings):
        make_gate(name, SETTINGS, VERSION, odd)
    with pytest.raises(UnknownPolicy):
        make_gate(name + "x", SETTINGS, VERSION, np.random.default_rng(1))


def test_settings_out_of_range_are_refused(name: str) -> None:  # noqa: ARG001 - of all gates
    bad: list[dict[str, Any]] = [
        {"signals": 0},
        {"agree_above": 1.1},
        {"scale": float("nan")},
        {"floor": 0.0},
        {"draws": 0},
        {"memory": 0},
        {"plain_lessons": -1},
    ]
    for values in bad:
        with pytest.raises(BadSettings):
            replace(SETTINGS, **values)
    assert replace(SETTINGS, shape=SHAPE) == SETTINGS
