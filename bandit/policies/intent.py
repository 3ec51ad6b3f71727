"""The action whose example utterances the prompt is most like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bandit.policies.base import HeuristicPolicy
from bandit.policies.snapshot_policy import PolicyQuery
from bandit.settings import PolicySettings, bounded, check_bounds
from bandit.types import Context

NAME: Final = "intent"
_LEAST: Final = 1e-12


@dataclass(frozen=True, slots=True)
class IntentOptions:
    """examples: by action, contexts of utterances that call for it.

    threshold: least cosine of two projections that counts as alike. default: the action where
    none is reached.
    """

    examples: Mapping[str, tuple[Context, ...]] = field(default_factory=dict)
    threshold: float = bounded(0.6, -1, 1)
    default: str | None = None

    def __post_init__(self) -> None:
        check_bounds(self, "intent")


class IntentPolicy(HeuristicPolicy):
    """The action with the largest cosine of the prompt's projection with one of its examples.

    Actions below the threshold do not count; then it is the default.
    """

    def __init__(
        self, name: str, settings: PolicySettings, context_version: str, rng: Generator
    ) -> None:
        """Lay out the examples. Raises BadContext or VersionMismatch for another map's."""
        super().__init__(name, settings, context_version, rng)
        self._options = settings.options_of(IntentOptions)
        self._examples = {
            action: _unit(np.array([self._viewer.view(c).projection for c in contexts]))
            for action, contexts in self._options.examples.items()
            if contexts
        }

    def _order(self, query: PolicyQuery) -> Iterable[str]:
        prompt, options = _unit(query.view.projection[None])[0], self._options
        alike = {action: float((rows @ prompt).max()) for action, rows in self._examples.items()}
        near = [action for action, cosine in alike.items() if cosine >= options.threshold]
        default = [options.default] if options.default else []
        return (*sorted(near, key=lambda action: -alike[action]), *default)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    unit: NDArray[np.float64] = rows / np.maximum(norms, _LEAST)
    return unit
