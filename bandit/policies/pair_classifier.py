"""Two actions, and forests trained from the log that say which of them a prompt is for."""

from __future__ import annotations

from typing import Final

import numpy as np

from bandit.context.view import View
from bandit.models.refitted_forests import Forests
from bandit.policies.base import Asked, Expected, LearningPolicy, Part
from bandit.settings import PolicySettings
from bandit.types import Outcome, Vector

NAME: Final = "pair-classifier"
MOST_IMPORTANCE: Final = 10.0


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
        self._forests = Forests(
            settings.shape.axes + settings.shape.features, settings.options.pair_classifier
        )

    def _expect(self, asked: Asked) -> Expected:
        rest, x = super()._expect(asked), _x(asked.view)
        quality = rest.quality.copy()
        for place, slot in enumerate(asked.rows.tolist()):
            forest = self._forests.get(slot)
            if forest is not None:
                quality[place] = forest.predict(x[None])[0]
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
