"""Candidates to evaluate: what served, one plan always, or a policy that learns from the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from bandit.types import Policy, Vector
from router.learning.learner_state import LearnerState
from router.learning.training import JoinedEvent, Trainer
from router.tools.evaluate.cases import LoggedCase

LOGGED: Final = "logged"
WATCHED: Final = "watched"
FIXED: Final = "fixed:"


class Candidate(Protocol):
    def shares(self, case: LoggedCase) -> Vector:
        """Returns the probability of each eligible action, (k,), by what came before this case."""
        ...

    def learn(self, event: JoinedEvent) -> None: ...


class _Static:
    def learn(self, event: JoinedEvent) -> None:
        pass


class LoggedCandidate(_Static):
    """The policy that served."""

    def shares(self, case: LoggedCase) -> Vector:
        return np.array(case.probabilities)


class WatchedCandidate(_Static):
    """The policy's choice where it only watched, elsewhere what served."""

    def shares(self, case: LoggedCase) -> Vector:
        return np.array(case.would)


@dataclass(frozen=True, slots=True)
class FixedCandidate(_Static):
    """One plan wherever it was eligible, elsewhere what served."""

    plan: str

    def shares(self, case: LoggedCase) -> Vector:
        chosen = np.array([action.name == self.plan for action in case.eligible], dtype=float)
        return chosen if chosen.any() else np.array(case.probabilities)


class LearningCandidate:
    """A policy that starts with nothing and learns from the log, event by event.

    At every decision it knows only what came before, so its shares are honest weights.
    """

    def __init__(self, policy: Policy, trainer: Trainer) -> None:
        self._state = LearnerState(policy)
        self._trainer = trainer

    def shares(self, case: LoggedCase) -> Vector:
        decided = self._state.policy.decide(case.context, case.eligible, case.weights)
        return np.array([decided.probabilities[action.name] for action in case.eligible])

    def learn(self, event: JoinedEvent) -> None:
        self._trainer.train(self._state, [event])
