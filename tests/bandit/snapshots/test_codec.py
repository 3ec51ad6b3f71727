"""Snapshots hold what was put in; actions can be renamed in them."""

from __future__ import annotations

import numpy as np
import pytest

from bandit import Action, Weights, load_policy, make_policy
from bandit.errors import CorruptSnapshot
from bandit.snapshots.codec import Snapshot, pack, rename_actions, unpack
from tests.bandit.streams import SETTINGS, VERSION, actions, context, outcome


def test_unpack_returns_what_was_packed() -> None:
    arrays = {"x": np.arange(6.0).reshape(2, 3), "m": np.frombuffer(b"abc", dtype=np.uint8)}
    back = unpack(pack(Snapshot("kind", {"k": [1, "two"]}, arrays)))
    assert (back.kind, back.meta) == ("kind", {"k": [1, "two"]})
    assert (back.arrays["x"] == arrays["x"]).all()
    assert back.arrays["m"].tobytes() == b"abc"
    assert pack(back) == pack(Snapshot("kind", {"k": [1, "two"]}, arrays))


def test_unpack_refuses_arrays_of_objects() -> None:
    with pytest.raises(CorruptSnapshot):
        unpack(pack(Snapshot("kind", {}, {"x": np.array(["text"])})))


def taught() -> bytes:
    policy = make_policy("adaptive", SETTINGS, VERSION, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for action in actions(3) * 20:
        policy.learn([outcome(action, context(rng), 0.1 if action.name == "a1" else 0.9)])
    return policy.save()


def test_rename_actions_keeps_what_was_learned() -> None:
    payload, seen = taught(), context(np.random.default_rng(2))
    before = load_policy(payload, SETTINGS, VERSION).decide(seen, actions(3), Weights())
    renamed = load_policy(rename_actions(payload, {"a1": "late"}), SETTINGS, VERSION)
    choices = [Action("late" if a.name == "a1" else a.name, a.prior_cost_usd) for a in actions(3)]
    after = renamed.decide(seen, choices, Weights())
    assert after.estimates["late"] == before.estimates["a1"]
    assert after.estimates["a2"] == before.estimates["a2"]


def test_rename_actions_leaves_a_name_whose_new_one_exists() -> None:
    payload = taught()
    assert rename_actions(payload, {"a1": "a2"}) == payload
    assert rename_actions(payload, {"unknown": "late"}) == payload
