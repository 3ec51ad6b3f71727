"""Actions that go on under other names."""

from __future__ import annotations

import numpy as np

from bandit import Action, Weights, load_policy, make_policy
from bandit.snapshots.codec import rename_actions
from tests.bandit.streams import SETTINGS, VERSION, actions, context, outcome


def taught() -> bytes:
    policy = make_policy("adaptive", SETTINGS, VERSION, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for action in actions(3) * 20:
        policy.learn([outcome(action, context(rng), 0.1 if action.name == "a1" else 0.9)])
    return policy.save()


def test_what_was_learned_goes_on_under_the_new_name() -> None:
    payload, seen = taught(), context(np.random.default_rng(2))
    before = load_policy(payload, SETTINGS, VERSION).decide(seen, actions(3), Weights())
    renamed = load_policy(rename_actions(payload, {"a1": "late"}), SETTINGS, VERSION)
    choices = [Action("late" if a.name == "a1" else a.name, a.prior_cost_usd) for a in actions(3)]
    after = renamed.decide(seen, choices, Weights())
    assert after.estimates["late"] == before.estimates["a1"]
    assert after.estimates["a2"] == before.estimates["a2"]


def test_a_name_that_is_there_already_is_not_taken() -> None:
    payload = taught()
    assert rename_actions(payload, {"a1": "a2"}) == payload
    assert rename_actions(payload, {"unknown": "late"}) == payload
