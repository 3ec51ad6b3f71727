"""One action, always."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bandit.policies.base import Asked, HeuristicPolicy

NAME: Final = "fixed"


class FixedPolicy(HeuristicPolicy):
    """`options.fixed`; without it, or where it is not eligible, the first eligible action."""

    def _order(self, asked: Asked) -> Iterable[str]:  # noqa: ARG002 - the same for every request
        wanted = self._settings.options.fixed
        return () if wanted is None else (wanted,)
