"""One snapshot for the policy and the gates of its plans."""

from __future__ import annotations

import numpy as np
import pytest

from bandit import Context, ContextShape, Outcome, Policy, PolicySettings, load_policy, make_policy
from bandit.errors import CorruptSnapshot
from bandit.gates import Gate, GateExample, GateInput, GateSettings, load_gate, make_gate
from bandit.snapshots.codec import Snapshot, pack
from bandit.types import Action
from router.domain.records import Attempt, AttemptOutcome, DecisionRecord, Mode, TurnFacts
from router.learning.learner_state import KIND, LearnerState, split
from router.learning.request_rates import RequestRates

SHAPE = ContextShape(clusters=4, axes=2, features=3)
POLICY = PolicySettings(shape=SHAPE)
GATE = GateSettings(shape=SHAPE, signals=2)
CONTEXT = Context(np.full(4, 0.25), np.zeros(2), np.zeros(3), "v1")


def policy() -> Policy:
    made = make_policy("adaptive", POLICY, "v1", np.random.default_rng(0))
    made.learn([Outcome(Action("a", 0.01), CONTEXT, quality=0.5)])
    return made


def gate(name: str) -> Gate:
    made = make_gate(name, GATE, "v1", np.random.default_rng(1))
    made.learn([GateExample(GateInput(CONTEXT, np.zeros(2), "1"), first_ok=1.0)])
    return made


def test_a_state_restores_policy_and_gates_bit_for_bit() -> None:
    one, other = gate("learned"), gate("agreement")
    parts = split(LearnerState(policy(), {"a-plan": one, "b.plan": other}).save())
    assert parts.policy == policy().save()
    assert {plan: name for plan, (name, _) in parts.gates.items()} == {
        "a-plan": "learned",
        "b.plan": "agreement",
    }
    assert load_policy(parts.policy, POLICY, "v1").learned == 1
    for plan, made in (("a-plan", one), ("b.plan", other)):
        assert parts.gates[plan][1] == made.save()
        assert load_gate(parts.gates[plan][1], GATE, "v1").save() == made.save()


def test_a_state_of_a_policy_alone_is_the_policys_snapshot() -> None:
    payload = policy().save()
    assert LearnerState(policy()).save() == payload
    assert split(payload)[:3] == (payload, {}, {})


@pytest.mark.parametrize("cut", [0, 10, 200, -1])
def test_a_damaged_snapshot_is_refused(cut: int) -> None:
    whole = LearnerState(policy(), {"p": gate("learned")}).save()
    with pytest.raises(CorruptSnapshot):
        split(whole[:cut])


def test_a_snapshot_without_its_parts_is_refused() -> None:
    with pytest.raises(CorruptSnapshot):
        split(pack(Snapshot(KIND, {"gates": {"p": "learned"}}, {})))
    with pytest.raises(CorruptSnapshot):
        split(pack(Snapshot(KIND, {"gates": 3}, {})))


def test_rates_are_kept_in_a_snapshot_from_the_first_one_on() -> None:
    call = Attempt("a", "d", "m", AttemptOutcome.ACCEPTED, "passed", 1.0, input_tokens=250)
    turn = TurnFacts(application="a0", input_bytes=1_000)
    learned = LearnerState(policy())
    assert split(learned.save()).rates is None
    learned.rates.learn(DecisionRecord("id", "t", 0, Mode.COMPLETE, attempts=(call,), turn=turn))
    saved = split(learned.save())
    assert saved.policy == policy().save()
    assert saved.rates == learned.rates.state()
    assert RequestRates(saved.rates).state() == learned.rates.state()
