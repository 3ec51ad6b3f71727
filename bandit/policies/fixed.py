"""One action, always."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bandit.policies.base import HeuristicPolicy
from bandit.policies.snapshot_policy import PolicyQuery

NAME: Final = "fixed"


@dataclass(frozen=True, slots=True)
class FixedOptions:
    """action: None for the first eligible one."""

    action: str | None = None


class FixedPolicy(HeuristicPolicy):
    """The action of the options; where it is not eligible, the first one that is."""

    def _order(self, query: PolicyQuery) -> Iterable[str]:  # noqa: ARG002 - alike for all requests
        wanted = self._settings.options_of(FixedOptions).action
        return () if wanted is None else (wanted,)
