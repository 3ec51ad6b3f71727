"""Two actions, and forests trained from the log that say which of them a prompt is for."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.forest import Forest
from bandit.memory import Memory
from bandit.policies.base import Asked, Expected, LearningPolicy, Part
from bandit.settings import PolicySettings
from bandit.training import ForestSpec, check_trainer, fit_forest
from bandit.types import Outcome, Vector
from bandit.view import View

NAME: Final = "pair-classifier"
FIRST_FITS: Final = (64, 128)
LEAST_OUTCOMES: Final = 20
"""Of an action, for a forest."""
MOST_IMPORTANCE: Final = 10.0


class Forests:
    """A regression forest of quality per slot, fitted anew from a memory on a schedule."""

    def __init__(self, width: int, settings: PolicySettings) -> None:
        self._options = settings.options.pair_classifier
        self._width = width
        self._memory = Memory(width, self._options.memory)
        self._fitted: dict[int, Forest] = {}
        self._seen = 0

    def get(self, slot: int) -> Forest | None:
        return self._fitted.get(slot)

    def add(self, x: Vector, slot: int, y: float, weight: float, rng: np.random.Generator) -> None:
        self._memory.add(x, slot, y, weight)
        self._seen += 1
        if self._seen in FIRST_FITS or self._seen % self._options.refit_every == 0:
            self._fit(rng)

    def _fit(self, rng: np.random.Generator) -> None:
        """A forest stays as it is while too few of its outcomes are remembered."""
        memory, spec = self._memory, ForestSpec(self._options.trees, self._options.depth)
        slots, counts = np.unique(memory.slots, return_counts=True)
        for slot in slots[counts >= LEAST_OUTCOMES].tolist():
            mine = memory.slots == slot
            y, weights = memory.targets[mine].T
            seed = int(rng.integers(2**31))
            self._fitted[slot] = fit_forest(memory.x[mine], y, weights, spec, seed)

    def grow(self, slots: int) -> None:
        """It has a forest for those slots that have outcomes enough."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = dict(self._memory.arrays())
        found["seen"] = np.array([self._seen], dtype=np.float64)
        found["fitted"] = np.array(list(self._fitted), dtype=np.int32)
        for slot, forest in self._fitted.items():
            found |= {f"{slot}.{name}": array for name, array in forest.arrays().items()}
        return found

    def restore(self, arrays: dict[str, NDArray[Any]], slots: int) -> None:
        self._memory.restore(arrays, slots)
        self._seen = int(arrays["seen"][0])
        self._fitted = {
            slot: Forest.of(_of(arrays, slot), self._width) for slot in arrays["fitted"].tolist()
        }


class PairClassifierPolicy(LearningPolicy):
    """The action of the pair with the larger expected utility; half and half until both are fitted.

    Bandit feedback: a forest per action learns from that action's own outcomes, each weighed by
    1 / propensity, at most ten. Actions outside the pair get the floor. Where one of the pair is
    not eligible the other is taken; where neither is, the best of the running means.
    """

    def __init__(
        self,
        name: str,
        settings: PolicySettings,
        context_version: str,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        self._forests = Forests(settings.shape.axes + settings.shape.features, settings)

    def learn(self, outcomes: Any) -> None:
        """As every policy's. Raises TrainerMissing besides."""
        check_trainer()
        super().learn(outcomes)

    def _expect(self, asked: Asked) -> Expected:
        rest, x = super()._expect(asked), _x(asked.view)
        quality = rest.quality.copy()
        for place, slot in enumerate(asked.rows.tolist()):
            forest = self._forests.get(slot)
            if forest is not None:
                quality[place] = forest.predict(x).mean()
        return Expected(quality, rest.cost_usd, rest.latency_ms, rest.failure)

    def _settled(self, asked: Asked, expected: Expected) -> Vector:
        utility = asked.weights.quality * expected.quality - self._burden(expected, asked.weights)
        pair = self._pair(asked)
        shares = np.zeros(len(asked.rows))
        if any(self._forests.get(int(asked.rows[place])) is None for place in pair):
            shares[pair] = 1 / len(pair)
            return shares
        places = pair or list(range(len(shares)))
        shares[max(places, key=lambda place: utility[place])] = 1.0
        return shares

    def _pair(self, asked: Asked) -> list[int]:
        """Places among the eligible actions, up to two."""
        names, wanted = asked.names, self._settings.options.pair_classifier.actions
        if wanted is not None:
            return [names.index(name) for name in wanted if name in names]
        return sorted({int(asked.prices.argmin()), int(asked.prices.argmax())})

    def _parts(self) -> dict[str, Part]:
        return super()._parts() | {"forests": self._forests}

    def _learn(self, slot: int, outcome: Outcome, view: View) -> None:
        wanted = self._settings.options.pair_classifier.actions
        if outcome.quality is None or (wanted and outcome.action.name not in wanted):
            return
        weight = outcome.weight * min(1 / outcome.propensity, MOST_IMPORTANCE)
        self._forests.add(_x(view), slot, outcome.quality, weight, self._rng)


def _x(view: View) -> Vector:
    return np.concatenate([view.projection, view.features])


def _of(arrays: dict[str, NDArray[Any]], slot: int) -> dict[str, NDArray[Any]]:
    return {k.removeprefix(f"{slot}."): v for k, v in arrays.items() if k.startswith(f"{slot}.")}
