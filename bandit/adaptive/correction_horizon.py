"""Which outcomes of an action still count in full, so that they can be corrected."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.models.sufficient_statistics import shaped
from bandit.types import Outcome, Vector

_NEVER = -1.0


class Horizon:
    """An outcome of a decision made before its action was forgotten is beyond the horizon.

    Of such outcomes the level is gone, or their weight is not what it was: to take one back would
    take back more than is there.
    """

    def __init__(self) -> None:
        # (slots,): when the newest decision learned from was made, and the newest beyond, in ms.
        self._newest: Vector = np.zeros(0)
        self._beyond: Vector = np.zeros(0)

    def hides(self, slot: int, outcome: Outcome) -> bool:
        """Whether it corrects what is beyond."""
        return outcome.replaces is not None and outcome.made_ms <= self._beyond[slot]

    def see(self, slot: int, made_ms: float) -> None:
        self._newest[slot] = max(self._newest[slot], made_ms)

    def forget(self, slot: int) -> None:
        self._beyond[slot] = self._newest[slot]

    def limit(self) -> None:
        """All that was learned may weigh less from now on."""
        self._beyond = self._newest.copy()

    def grow(self, slots: int) -> None:
        missing = np.full(max(0, slots - len(self._newest)), _NEVER)
        self._newest = np.append(self._newest, missing)
        self._beyond = np.append(self._beyond, missing)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"newest": self._newest, "beyond": self._beyond}

    def restore(self, arrays: dict[str, NDArray[Any]], slots: int) -> None:
        """Raises ValueError or KeyError when the arrays do not fit."""
        self._newest = shaped(arrays["newest"], (slots,)).copy()
        self._beyond = shaped(arrays["beyond"], (slots,)).copy()
