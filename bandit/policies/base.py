"""Policies over running means: heuristics, which follow a rule, and learners, which settle."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from bandit.choice import burden, cold_start, decide, estimates_of, with_floor
from bandit.context.view import ContextView
from bandit.models.running_means import QUALITY, RunningMeans
from bandit.policies.snapshot_policy import PolicyQuery, SnapshotPolicy
from bandit.settings import PolicySettings
from bandit.snapshots.parts import SnapshotPart
from bandit.types import Action, Context, Decision, Outcome, Vector, Weights


@dataclass(frozen=True, slots=True)
class ExpectedMeans:
    """Means for the eligible actions, each (k,)."""

    quality: Vector
    cost_usd: Vector
    latency_ms: Vector
    failure: Vector


class MeansPolicy(SnapshotPolicy):
    """Keeps running means; a policy says which shares it wants and what it expects.

    `explored` of its decisions: not the action with the largest share.
    """

    def __init__(
        self, name: str, settings: PolicySettings, context_version: str, rng: Generator
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        self._means = RunningMeans()

    def decide(self, context: Context, eligible: Sequence[Action], weights: Weights) -> Decision:
        """Choose by the policy's shares, each raised to the floor."""
        query = self._query(context, eligible, weights)
        expected = self._expect(query)
        utility = weights.quality * expected.quality - self._burden(query, expected)
        shares = self._shares(query, expected)
        columns = (expected.quality, expected.cost_usd, expected.latency_ms, expected.failure)
        estimates = estimates_of(eligible, [one.tolist() for one in (*columns, utility)])
        probabilities = with_floor(shares.tolist(), [self._settings.floor] * len(shares))
        return decide(eligible, probabilities, int(shares.argmax()), estimates, self._rng)

    def is_sound(self) -> bool:
        names = [*self._slots.names, ""]
        eligible = [Action(name, 1.0) for name in names]
        rows = np.append(np.arange(len(self._slots)), -1)
        query = PolicyQuery.of(self._viewer.blank(), eligible, rows, self._settings.weights)
        state = self._rng.bit_generator.state
        expected = self._expect(query)
        shares = self._shares(query, expected)
        self._rng.bit_generator.state = state
        numbers = (expected.quality, expected.cost_usd, expected.latency_ms, expected.failure)
        return bool(np.isfinite(np.concatenate([*numbers, shares])).all())

    def _parts(self) -> Mapping[str, SnapshotPart]:
        return {"means": self._means}

    def _expect(self, query: PolicyQuery) -> ExpectedMeans:
        """Return the running means, unless a policy knows better."""
        quality, ratio, latency_ms, failure = self._means.means(query.rows).T
        return ExpectedMeans(quality, query.costs_usd(ratio), latency_ms, failure)

    def _burden(self, query: PolicyQuery, expected: ExpectedMeans) -> Vector:
        cost_usd = expected.cost_usd + np.array(query.later)
        amounts = (cost_usd, expected.latency_ms, expected.failure)
        taken: Vector = burden(query.weights, self._settings.units, *amounts)
        return taken

    @abstractmethod
    def _shares(self, query: PolicyQuery, expected: ExpectedMeans) -> Vector:
        """Return probabilities before the floor, (k,), >= 0, summing to 1."""

    def _learn(self, slot: int, outcome: Outcome, view: ContextView) -> None:
        """Correct the running means; what else is learned gets the right value once more."""
        self._learn_more(slot, outcome, view)
        self._means.add(slot, outcome)

    def _learn_more(self, slot: int, outcome: Outcome, view: ContextView) -> None:
        """Learn what the running means, which do not hold the outcome yet, do not tell."""


class HeuristicPolicy(MeansPolicy):
    """Always one action by a rule; what it learns shows in its estimates only.

    The floor keeps every eligible action alive, so that its log can teach other policies.
    """

    def _shares(self, query: PolicyQuery, expected: ExpectedMeans) -> Vector:  # noqa: ARG002 - needs no means
        names = query.names
        wanted = next((n for n in self._order(query) if n in names), names[0])
        shares: Vector = np.eye(len(names))[names.index(wanted)]
        return shares

    @abstractmethod
    def _order(self, query: PolicyQuery) -> Iterable[str]:
        """Name actions, the wanted one first; the first eligible one is taken where none is."""


class LearningPolicy(MeansPolicy):
    """Each eligible action gets its first outcomes, the cold-start action most; then it settles."""

    def _shares(self, query: PolicyQuery, expected: ExpectedMeans) -> Vector:
        counts = self._means.counts(query.rows)
        judged, calls = counts[:, QUALITY], counts.max(axis=1)
        settled = self._settled(query, expected)
        wanted = self._settings.initial_pulls
        return cold_start(settled, judged, calls, wanted, self._preferred(query.names))

    @abstractmethod
    def _settled(self, query: PolicyQuery, expected: ExpectedMeans) -> Vector:
        """Return shares once there is evidence, (k,)."""
