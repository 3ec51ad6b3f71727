"""The gates choose by what they learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from answers import LATER, PRICES, SETTINGS, VERSION, WEIGHTS, World, seen, taught

from bandit import Weights
from bandit.gates import Gate, GateExample, GateSettings, Prices, Step, make_gate


def fresh(name: str = "learned", settings: GateSettings = SETTINGS) -> Gate:
    return make_gate(name, settings, VERSION, np.random.default_rng(1))


def share(gate: Gate, rng: np.random.Generator, hint: float, prices: Prices) -> float:
    """Mean probability of accepting unasked; hint: the first signal."""
    found = [gate.choose(seen(rng, hint=hint), prices, WEIGHTS) for _ in range(40)]
    return float(np.mean([chosen.probabilities[Step.ACCEPT] for chosen in found]))


def test_rules_gate_always_accepts() -> None:
    gate, rng = taught(fresh("rules"), 40), np.random.default_rng(2)
    for agreement in (None, 0.0, 1.0):
        chosen = gate.choose(seen(rng, agreement), PRICES, WEIGHTS)
        assert (chosen.step, chosen.propensity) == (Step.ACCEPT, 1.0)


@pytest.mark.parametrize(
    ("agreement", "prices", "step"),
    [
        (None, PRICES, Step.ASK),
        (None, LATER, Step.ESCALATE),
        (1.0, LATER, Step.ACCEPT),
        (0.85, LATER, Step.ACCEPT),
        (0.75, LATER, Step.ESCALATE),
        (0.0, LATER, Step.ESCALATE),
    ],
)
def test_agreement_gate_asks_then_accepts_or_escalates(
    agreement: float | None, prices: Prices, step: Step
) -> None:
    what = seen(np.random.default_rng(3), agreement)
    assert fresh("agreement").choose(what, prices, WEIGHTS).step is step
    # The learned gate begins by the same rule, but for its floor, where answers cost little ...
    thrifty, lavish = (replace(WEIGHTS, cost=cost) for cost in (1.0, 0.01))
    assert fresh().choose(what, prices, lavish).probabilities[step] > 0.99
    # ... and accepts where no usual share of bad answers pays for another.
    assert fresh().choose(what, prices, thrifty).probabilities[Step.ACCEPT] > 0.99


def test_agreement_gate_without_a_strong_arm_serves_the_likelier_answer() -> None:
    gate, rng = fresh("agreement"), np.random.default_rng(4)
    gate.learn([GateExample(seen(rng, 0.0), first_ok=0.0, second_ok=1.0) for _ in range(9)])
    assert gate.choose(seen(rng, 0.0), Prices(None, None), WEIGHTS).step is Step.SECOND


def test_learned_gate_learns_a_signal_that_tells() -> None:
    """Doubtful answers are asked about or escalated, the rest served."""
    gate, rng = taught(fresh(), 300), np.random.default_rng(5)
    prices = Prices(second_usd=0.3, strong_usd=1.0)
    assert share(gate, rng, 1.0, prices) < 0.1
    assert share(gate, rng, -1.0, prices) > 0.8
    hard, easy = (gate.choose(seen(rng, hint=h), PRICES, WEIGHTS).score for h in (1.0, -1.0))
    assert hard == pytest.approx(0.4, abs=0.15)
    assert easy == pytest.approx(0.98, abs=0.06)


def test_learned_gate_follows_prices_and_weights_at_once() -> None:
    gate, rng = taught(fresh(), 300), np.random.default_rng(6)
    doubtful = seen(rng, 0.0, hint=1.0)

    def step(prices: Prices, weights: Weights) -> Step:
        values = gate.choose(doubtful, prices, weights).values
        return max(values, key=lambda s: values[s])

    assert step(LATER, WEIGHTS) is Step.ESCALATE
    assert step(Prices(None, 50.0), WEIGHTS) is not Step.ESCALATE
    assert step(LATER, Weights(quality=1.0, cost=5.0)) is not Step.ESCALATE
    assert step(Prices(None, 50.0), Weights(quality=1.0, cost=0.0)) is Step.ESCALATE


@pytest.mark.parametrize("name", ["learned", "agreement"])
def test_a_long_input_costs_what_it_costs_however_much_models_write(name: str) -> None:
    """Answers that are five times as long as guessed make no input dearer."""
    gate, rng = fresh(name), np.random.default_rng(8)
    gate.learn([replace(World().lesson(rng), strong_cost_ratio=5.0) for _ in range(200)])

    def cost(prices: Prices) -> float:
        """Returns how much less escalating is worth than where it costs nothing."""
        free, paid = (
            gate.choose(what, prices, Weights(quality=1.0, cost=weight)).values[Step.ESCALATE]
            for weight in (0.0, 0.1)
        )
        return (free - paid) / 0.1

    what = seen(rng, 0.0)
    ratio = cost(Prices(None, 0.1)) / 0.1
    assert ratio > 3
    assert cost(Prices(None, 10.1, 10.0)) == pytest.approx(10 + 0.1 * ratio)


def test_learned_gate_learns_the_cost_of_escalating() -> None:
    gates = [fresh(), fresh()]
    for gate, ratio in zip(gates, (0.5, 4.0), strict=True):
        rng = np.random.default_rng(7)
        gate.learn([replace(World().lesson(rng), strong_cost_ratio=ratio) for _ in range(120)])
    what = seen(np.random.default_rng(8), 0.0)
    cheap, dear = (gate.choose(what, LATER, WEIGHTS).values[Step.ESCALATE] for gate in gates)
    assert cheap - dear == pytest.approx(0.1 * 3.5, rel=0.15)


def test_learned_gate_leaves_other_steps_the_floor() -> None:
    gate, rng = taught(fresh(), 300), np.random.default_rng(9)
    chosen = gate.choose(seen(rng, hint=-1.0), PRICES, WEIGHTS)
    assert min(chosen.probabilities.values()) >= SETTINGS.floor - 1e-12


def test_learned_gate_weighs_inferred_labels_less() -> None:
    rng = np.random.default_rng(10)
    told = [GateExample(seen(rng), first_ok=1.0) for _ in range(60)]
    doubts = [GateExample(seen(rng), first_ok=0.0) for _ in range(60)]
    scores = []
    for weight in (0.05, 1.0):
        gate = fresh()
        gate.learn([*told, *(replace(doubt, weight=weight) for doubt in doubts)])
        scores.append(gate.choose(seen(rng), PRICES, WEIGHTS).score)
    assert scores[0] > 0.85
    assert scores[1] < 0.65


def test_learned_gate_takes_soft_labels_for_shares() -> None:
    gate, rng = fresh(), np.random.default_rng(11)
    gate.learn([GateExample(seen(rng), first_ok=0.3) for _ in range(300)])
    score = np.mean([gate.choose(seen(rng), PRICES, WEIGHTS).score for _ in range(20)])
    assert score == pytest.approx(0.3, abs=0.07)


def test_learned_gate_is_undecided_after_contradicting_labels() -> None:
    gate, rng = fresh(), np.random.default_rng(12)
    what = seen(rng)
    gate.learn([GateExample(what, first_ok=float(i % 2)) for i in range(400)])
    assert gate.choose(what, PRICES, WEIGHTS).score == pytest.approx(0.5, abs=0.05)


def test_labels_of_the_second_answer_alone_do_not_condemn_the_first() -> None:
    """The first is right in 6 of 10 where they differ; a label is seen for the second only."""
    gate, rng = fresh(), np.random.default_rng(13)
    for _ in range(300):
        right = float(rng.random() < 0.4)
        gate.learn([GateExample(seen(rng, 0.0), second_ok=right)])
    values = gate.choose(seen(rng, 0.0), LATER, WEIGHTS).values
    assert values[Step.SECOND] == pytest.approx(0.4, abs=0.12)
    assert values[Step.ACCEPT] > 0.4


def test_learned_gate_remembers_lessons_that_left_the_buffer() -> None:
    """A tenth of the lessons is kept as they came, yet all of them count."""
    rng = np.random.default_rng(14)
    lessons = [World().lesson(rng) for _ in range(400)]
    scores = []
    for memory in (40, 400):
        gate = fresh(settings=replace(SETTINGS, memory=memory))
        for lesson in lessons:
            gate.learn([lesson])
        other = np.random.default_rng(15)
        doubtful = [seen(other, hint=float(h)) for h in np.linspace(-1, 1, 20)]
        scores.append([gate.choose(what, PRICES, WEIGHTS).score for what in doubtful])
    assert np.abs(np.subtract(*scores)).max() < 0.12


@pytest.mark.parametrize("name", ["agreement", "learned"])
def test_two_lessons_of_one_answer_teach_agreement_once(name: str) -> None:
    """Heard of again with labels, they agree no oftener: the expected value of asking stays."""

    def asking(*, again: bool) -> float:
        gate, rng = fresh(name), np.random.default_rng(11)
        for n in range(40):
            first = GateExample(seen(rng, float(n % 4 == 0)))
            gate.learn([first])
            if again and n % 4 == 0:
                gate.learn([replace(first, repeated=True)] * 5)
        return gate.choose(seen(np.random.default_rng(12)), PRICES, WEIGHTS).values[Step.ASK]

    assert asking(again=True) == pytest.approx(asking(again=False), abs=0.002)
