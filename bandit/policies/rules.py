"""Rules on the features of a prompt, in the order they are written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from numpy.random import Generator

from bandit.context.conditions import Bound
from bandit.errors import BadSettings
from bandit.policies.base import HeuristicPolicy
from bandit.policies.snapshot_policy import PolicyQuery
from bandit.settings import PolicySettings

NAME: Final = "rules"


@dataclass(frozen=True, slots=True)
class Rule:
    """Applies where every bound holds."""

    action: str
    bounds: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class RulesOptions:
    """rules: the first that applies counts. default: the action where none does."""

    rules: tuple[Rule, ...] = ()
    default: str | None = None


class RulesPolicy(HeuristicPolicy):
    """The first rule that applies and whose action is eligible; else the default."""

    def __init__(
        self, name: str, settings: PolicySettings, context_version: str, rng: Generator
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        self._options = settings.options_of(RulesOptions)
        bounds = (bound for rule in self._options.rules for bound in rule.bounds)
        if any(bound.index >= settings.shape.features for bound in bounds):
            raise BadSettings("a rule's bound names a feature that contexts do not have")

    def _order(self, query: PolicyQuery) -> Iterator[str]:
        for rule in self._options.rules:
            if all(bound.holds(query.view.features) for bound in rule.bounds):
                yield rule.action
        if self._options.default is not None:
            yield self._options.default
