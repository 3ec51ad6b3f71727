"""The longer the prompt, the stronger the action."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bandit.context.features import NAMES
from bandit.policies.base import Asked, HeuristicPolicy

NAME: Final = "length"
_FEATURE: Final = NAMES.index("log_length")


class LengthPolicy(HeuristicPolicy):
    """The last of `options.length` that the prompt is long enough for.

    Where that action is not eligible: those of longer prompts in their order, then those of
    shorter ones from the nearest on. A prompt below the first tier counts as of the first.
    """

    def _order(self, asked: Asked) -> Iterable[str]:
        tiers = self._settings.options.length
        length = float(asked.view.features[_FEATURE])
        reached = max(1, sum(tier.least <= length for tier in tiers))
        ordered = (*tiers[reached - 1 :], *reversed(tiers[: reached - 1]))
        return (tier.action for tier in ordered)
