"""Slots of actions are bounded."""

from __future__ import annotations

import pytest

from bandit.errors import BadAction
from bandit.policies.snapshot_policy import ActionSlots
from bandit.settings import MAX_ACTIONS
from bandit.types import Action


def test_action_slots_beyond_the_limit_are_refused() -> None:
    slots = ActionSlots([f"a{j}" for j in range(MAX_ACTIONS)])
    assert slots.claim(Action("a7", 1.0)) == 7
    with pytest.raises(BadAction, match="at most"):
        slots.claim(Action("one more", 1.0))
