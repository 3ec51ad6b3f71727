"""Rules on the features of a prompt, in the order they are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from bandit.errors import BadSettings
from bandit.policies.base import Asked, HeuristicPolicy
from bandit.settings import PolicySettings

NAME: Final = "rules"


class RulesPolicy(HeuristicPolicy):
    """The first of `options.rules` that applies and whose action is eligible; else the default."""

    def __init__(
        self,
        name: str,
        settings: PolicySettings,
        context_version: str,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        bounds = (bound for rule in settings.options.rules for bound in rule.bounds)
        if any(bound.index >= settings.shape.features for bound in bounds):
            raise BadSettings("a rule's bound names a feature that contexts do not have")

    def _order(self, asked: Asked) -> Iterable[str]:
        return self._applying(asked)

    def _applying(self, asked: Asked) -> Iterator[str]:
        features = asked.view.features
        for rule in self._settings.options.rules:
            if all(bound.holds(features) for bound in rule.bounds):
                yield rule.action
        if self._settings.options.default is not None:
            yield self._settings.options.default
