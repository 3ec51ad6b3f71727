"""The longer the prompt, the stronger the action."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from bandit.context.features import NAMES
from bandit.errors import BadSettings
from bandit.policies.base import HeuristicPolicy
from bandit.policies.snapshot_policy import PolicyQuery

NAME: Final = "length"
_FEATURE: Final = NAMES.index("log_length")


@dataclass(frozen=True, slots=True)
class Tier:
    """Prompts of the length feature `least` or more; -inf for the first tier."""

    action: str
    least: float = -math.inf

    def __post_init__(self) -> None:
        if math.isnan(self.least):
            raise BadSettings("a tier's least length must be a number")


@dataclass(frozen=True, slots=True)
class LengthOptions:
    """tiers: in rising order."""

    tiers: tuple[Tier, ...] = ()

    def __post_init__(self) -> None:
        if any(b.least <= a.least for a, b in pairwise(self.tiers)):
            raise BadSettings("length needs its tiers in rising order")


class LengthPolicy(HeuristicPolicy):
    """The last tier that the prompt is long enough for.

    Where its action is not eligible: those of longer prompts in their order, then those of shorter
    ones from the nearest on. A prompt below the first tier counts as one of the first.
    """

    def _order(self, query: PolicyQuery) -> Iterable[str]:
        tiers = self._settings.options_of(LengthOptions).tiers
        length = float(query.view.features[_FEATURE])
        reached = max(1, sum(tier.least <= length for tier in tiers))
        ordered = (*tiers[reached - 1 :], *reversed(tiers[: reached - 1]))
        return (tier.action for tier in ordered)
