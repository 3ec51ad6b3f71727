"""Thompson sampling without context: one Gaussian mean per action.

Thompson 1933; Agrawal and Goyal 2013, Further optimal regret bounds for Thompson sampling.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from bandit.models.running_means import QUALITY
from bandit.policies.sampling import SamplingPolicy
from bandit.policies.snapshot_policy import PolicyQuery
from bandit.types import Vector

NAME: Final = "thompson"


class ThompsonPolicy(SamplingPolicy):
    """The mean quality of an action is N(running mean, noise / (1 + outcomes))."""

    def _variance(self, query: PolicyQuery) -> Vector:
        counts = self._means.counts(query.rows)[:, QUALITY]
        return np.asarray(self._noise.value / (1 + counts))
