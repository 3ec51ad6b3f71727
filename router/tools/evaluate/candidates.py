"""What is compared: the policy that served, one plan always, or a policy that learns as it goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from bandit.types import Outcome, Policy, Vector
from router.learning.training import teach
from router.ports.observer import Observer
from router.tools.evaluate.cases import Case

LOGGED: Final = "logged"
WATCHED: Final = "watched"
FIXED: Final = "fixed:"


class Candidate(Protocol):
    def shares(self, case: Case) -> Vector:
        """Probability of each eligible action, (k,). What it learned came before this case."""
        ...

    def learn(self, outcomes: Sequence[Outcome]) -> None: ...


class Logged:
    """The policy that served."""

    def shares(self, case: Case) -> Vector:
        return np.array(case.probabilities)

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        pass


class Watched:
    """What the policy would have chosen where it only watched, else what it chose."""

    def shares(self, case: Case) -> Vector:
        return np.array(case.would)

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        pass


class Fixed:
    """One plan wherever it was eligible, else what the log did."""

    def __init__(self, plan: str) -> None:
        self._plan = plan

    def shares(self, case: Case) -> Vector:
        chosen = np.array([action.name == self._plan for action in case.eligible], dtype=float)
        return chosen if chosen.any() else np.array(case.probabilities)

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        pass


class Learning:
    """A policy that starts with nothing and learns from the log, one event after the other.

    At every decision it knows only what came before, so its shares are honest weights.
    """

    def __init__(self, policy: Policy, observer: Observer) -> None:
        self._policy = policy
        self._observer = observer

    def shares(self, case: Case) -> Vector:
        decided = self._policy.decide(case.context, case.eligible, case.weights)
        return np.array([decided.probabilities[action.name] for action in case.eligible])

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        teach(self._policy, outcomes, self._observer)
