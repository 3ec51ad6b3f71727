"""The action whose example utterances the prompt is most like."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.policies.base import Asked, HeuristicPolicy
from bandit.settings import PolicySettings

NAME: Final = "intent"
_LEAST: Final = 1e-12


class IntentPolicy(HeuristicPolicy):
    """By the largest cosine of the prompt's projection with an example of `options.intent`.

    Actions below the threshold do not count; then it is `options.default`.
    """

    def __init__(
        self,
        name: str,
        settings: PolicySettings,
        context_version: str,
        rng: np.random.Generator,
    ) -> None:
        """Raises BadContext or VersionMismatch for an example of another context map."""
        super().__init__(name, settings, context_version, rng)
        self._examples = {
            action: _unit(np.array([self._viewer.view(c).projection for c in contexts]))
            for action, contexts in settings.options.intent.examples.items()
            if contexts
        }

    def _order(self, asked: Asked) -> Iterable[str]:
        prompt = _unit(asked.view.projection[None])[0]
        alike = {action: float((rows @ prompt).max()) for action, rows in self._examples.items()}
        near = [
            a for a, cosine in alike.items() if cosine >= self._settings.options.intent.threshold
        ]
        default = self._settings.options.default
        return (*sorted(near, key=lambda a: -alike[a]), *([default] if default else []))


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    unit: NDArray[np.float64] = rows / np.maximum(norms, _LEAST)
    return unit
