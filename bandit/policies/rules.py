"""Rules on the features of a prompt, in the order they are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from bandit.policies.base import Asked, HeuristicPolicy

NAME: Final = "rules"


class RulesPolicy(HeuristicPolicy):
    """The first of `options.rules` that applies and whose action is eligible; else the default."""

    def _order(self, asked: Asked) -> Iterable[str]:
        return self._applying(asked)

    def _applying(self, asked: Asked) -> Iterator[str]:
        features = asked.view.features
        for rule in self._settings.options.rules:
            if all(bound.holds(features) for bound in rule.bounds):
                yield rule.action
        if self._settings.options.default is not None:
            yield self._settings.options.default
