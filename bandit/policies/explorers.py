"""Vowpal Wabbit's own explorers behind the policy protocol.

They minimise one cost, minus the utility under the configured weights, and learn when an outcome
carries its quality. What that outcome does not say of cost, latency or failure is filled in with
the action's running means, so that feedback that comes alone still has its price.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.random import Generator

from bandit.choice import burden
from bandit.context.view import ContextView
from bandit.models.running_means import COST_RATIO, FAILURE, LATENCY_MS
from bandit.models.vowpal_wabbit import Explorer
from bandit.policies.base import ExpectedMeans, LearningPolicy
from bandit.policies.snapshot_policy import PolicyQuery
from bandit.settings import PolicySettings
from bandit.snapshots.parts import Arrays, SnapshotPart
from bandit.types import Outcome, Vector

LEAST_PROPENSITY: Final = 1e-3
"""Importance weights are bounded: 1 / this."""
MOST_COST: Final = 100.0
"""Largest cost of one outcome, either way: one beyond all measure would spoil every weight."""


class _LazyExplorer:
    """The explorer, made when first needed: a restored policy never needs the empty one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._made: Explorer | None = None

    @property
    def explorer(self) -> Explorer:
        if self._made is None:
            self._made = Explorer(self._name)
        return self._made

    def grow(self, slots: int) -> None:
        """Know actions by their numbers, however many."""

    def arrays(self) -> Arrays:
        return {"vw": np.frombuffer(self.explorer.save(), dtype=np.uint8)}

    def restore(self, arrays: Arrays, slots: int) -> None:  # noqa: ARG002 - as above
        self._made = Explorer(self._name, arrays["vw"].tobytes())


class ExplorerPolicy(LearningPolicy):
    """An explorer of Vowpal Wabbit; name: one of `vowpal_wabbit.EXPLORER_NAMES`.

    The weights of a single decision act on the estimates it reports, not on the choice: they are
    learned in.
    """

    def __init__(
        self, name: str, settings: PolicySettings, context_version: str, rng: Generator
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        self._model = _LazyExplorer(name)

    def _settled(self, query: PolicyQuery, expected: ExpectedMeans) -> Vector:  # noqa: ARG002 - learned in
        # An action never learned about gets a name of its own, one that has no weights yet.
        rows = query.rows.tolist()
        names = [row if row >= 0 else len(self._slots) + i for i, row in enumerate(rows)]
        settled = np.maximum(self._model.explorer.predict(query.view.text, names), 0.0)
        shares: Vector = settled / settled.sum()
        return shares

    def _parts(self) -> Mapping[str, SnapshotPart]:
        return {**super()._parts(), "model": self._model}

    def _learn_more(self, slot: int, outcome: Outcome, view: ContextView) -> None:
        if outcome.quality is None:
            return
        cost = -self._utility(slot, outcome, outcome.quality)
        # A weight below 1 is an importance below 1 / propensity.
        share = min(1.0, max(outcome.propensity, LEAST_PROPENSITY) / outcome.weight)
        self._model.explorer.learn(view.text, range(len(self._slots)), slot, cost, share)

    def _utility(self, slot: int, outcome: Outcome, quality: float) -> float:
        means = self._means.means(np.array([slot]))[0]
        given = (outcome.cost_usd, outcome.latency_ms, outcome.failed)
        usual = (_usual_usd(outcome, means[COST_RATIO]), means[LATENCY_MS], means[FAILURE])
        amounts = [float(u if g is None else g) for g, u in zip(given, usual, strict=True)]
        amounts[0] = max(0.0, amounts[0] + _later_usd(outcome))
        weights, units = self._settings.weights, self._settings.units
        utility = weights.quality * quality - burden(weights, units, *amounts)
        return min(max(utility, -MOST_COST), MOST_COST)


def _usual_usd(outcome: Outcome, ratio: float) -> float:
    paid = outcome.action.input_usd if outcome.input_usd is None else outcome.input_usd
    return paid + ratio * outcome.action.guess_usd


def _later_usd(outcome: Outcome) -> float:
    """Return what to add to a cost for the mean of its turn and those expected to follow."""
    action, paid = outcome.action, outcome.input_usd
    missed = 0.0 if paid is None else action.input_usd - paid
    return missed + action.later_usd
