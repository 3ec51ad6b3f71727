"""Two actions, and forests trained from the log that say which of them a prompt is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator

from bandit.context.view import ContextView
from bandit.errors import BadSettings
from bandit.models.forest import Forest
from bandit.models.forest_training import ForestSpec, fit_forest
from bandit.models.ring_buffer import OutcomeBuffer
from bandit.policies.base import ExpectedMeans, LearningPolicy
from bandit.policies.snapshot_policy import PolicyQuery
from bandit.settings import MAX_MEMORY, PolicySettings, bounded, check_bounds
from bandit.snapshots.parts import Arrays, SnapshotPart, part_of
from bandit.types import Outcome, Vector

NAME: Final = "pair-classifier"
MOST_IMPORTANCE: Final = 10.0
FIRST_FITS: Final = (64, 128)
LEAST_OUTCOMES: Final = 20
"""Outcomes of an action that a forest needs."""


@dataclass(frozen=True, slots=True)
class PairClassifierOptions:
    """actions: the two to choose between; None for the cheapest and the dearest eligible.

    refit_every: judged outcomes between two forests. memory: judged outcomes trained on.
    """

    actions: tuple[str, str] | None = None
    trees: int = bounded(40, 1, 200)
    depth: int = bounded(6, 1, 12)
    refit_every: int = bounded(250, 1, MAX_MEMORY)
    memory: int = bounded(4_000, 1, MAX_MEMORY)

    def __post_init__(self) -> None:
        if self.actions is not None and len(set(self.actions)) != 2:  # noqa: PLR2004 - a pair
            raise BadSettings("pair_classifier needs two different actions")
        check_bounds(self, "pair_classifier")


class ActionForests:
    """A regression forest of quality per slot, fitted anew from a memory on a schedule."""

    def __init__(self, width: int, options: PairClassifierOptions) -> None:
        self._options = options
        self._width = width
        self._memory = OutcomeBuffer(width, options.memory)
        self._fitted: dict[int, Forest] = {}
        self._seen = 0

    def get(self, slot: int) -> Forest | None:
        return self._fitted.get(slot)

    def add(self, x: Vector, slot: int, y: float, weight: float, rng: Generator) -> None:
        self._memory.add(x, slot, y, weight)
        self._seen += 1
        if self._seen in FIRST_FITS or self._seen % self._options.refit_every == 0:
            self._fit(rng)

    def grow(self, slots: int) -> None:
        """Keep a forest for those slots that have outcomes enough."""

    def arrays(self) -> Arrays:
        found = {
            **self._memory.arrays(),
            "seen": np.array([self._seen], dtype=np.float64),
            "fitted": np.array(list(self._fitted), dtype=np.int32),
        }
        for slot, forest in self._fitted.items():
            found |= {f"{slot}.{name}": array for name, array in forest.arrays().items()}
        return found

    def restore(self, arrays: Arrays, slots: int) -> None:
        self._memory.restore(arrays, slots)
        self._seen = int(arrays["seen"][0])
        self._fitted = {
            slot: Forest.of(part_of(arrays, str(slot)), self._width)
            for slot in arrays["fitted"].tolist()
        }

    def _fit(self, rng: Generator) -> None:
        """Fit anew; a forest stays as it is while too few of its outcomes are remembered."""
        memory, spec = self._memory, ForestSpec(self._options.trees, self._options.depth)
        slots, counts = np.unique(memory.slots, return_counts=True)
        for slot in slots[counts >= LEAST_OUTCOMES].tolist():
            mine = memory.slots == slot
            y, weights = memory.targets[mine].T
            seed = int(rng.integers(2**31))
            self._fitted[slot] = fit_forest(memory.x[mine], y, weights, spec, seed)


class PairClassifierPolicy(LearningPolicy):
    """The action of the pair with the larger expected utility; half and half until both are fitted.

    Bandit feedback: a forest per action learns from that action's own outcomes, each weighed by
    1 / propensity, at most ten. Actions outside the pair get the floor. Where one of the pair is
    not eligible the other is taken; where neither is, the best of the running means.
    """

    def __init__(
        self, name: str, settings: PolicySettings, context_version: str, rng: Generator
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        options = settings.options_of(PairClassifierOptions)
        self._wanted = options.actions
        self._forests = ActionForests(settings.shape.axes + settings.shape.features, options)

    def _expect(self, query: PolicyQuery) -> ExpectedMeans:
        rest, x = super()._expect(query), _x(query.view)
        quality = rest.quality.copy()
        for place, slot in enumerate(query.rows.tolist()):
            forest = self._forests.get(slot)
            if forest is not None:
                quality[place] = forest.predict(x[None])[0]
        return ExpectedMeans(quality, rest.cost_usd, rest.latency_ms, rest.failure)

    def _settled(self, query: PolicyQuery, expected: ExpectedMeans) -> Vector:
        utility = query.weights.quality * expected.quality - self._burden(query, expected)
        pair = self._pair(query)
        shares = np.zeros(len(query.rows))
        if any(self._forests.get(int(query.rows[place])) is None for place in pair):
            shares[pair] = 1 / len(pair)
            return shares
        places = pair or list(range(len(shares)))
        shares[max(places, key=lambda place: utility[place])] = 1.0
        return shares

    def _pair(self, query: PolicyQuery) -> list[int]:
        """Return up to two places among the eligible actions."""
        if self._wanted is not None:
            return [query.names.index(name) for name in self._wanted if name in query.names]
        return sorted({int(query.prices.argmin()), int(query.prices.argmax())})

    def _parts(self) -> Mapping[str, SnapshotPart]:
        return {**super()._parts(), "forests": self._forests}

    def _learn_more(self, slot: int, outcome: Outcome, view: ContextView) -> None:
        if outcome.quality is None or (self._wanted and outcome.action.name not in self._wanted):
            return
        weight = outcome.weight * min(1 / outcome.propensity, MOST_IMPORTANCE)
        self._forests.add(_x(view), slot, outcome.quality, weight, self._rng)


def _x(view: ContextView) -> Vector:
    return np.concatenate([view.projection, view.features])
