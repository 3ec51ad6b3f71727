"""Which row of every array belongs to which action."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bandit.errors import BadAction
from bandit.settings import MAX_ACTIONS
from bandit.types import Action


class Slots:
    """Names in order of appearance; at most `MAX_ACTIONS` over a policy's life."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._rows = {name: row for row, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def names(self) -> list[str]:
        return list(self._rows)

    def rows(self, actions: Sequence[Action]) -> NDArray[np.intp]:
        """-1 for an action never learned about; (k,)."""
        return np.array([self._rows.get(action.name, -1) for action in actions], dtype=np.intp)

    def claim(self, action: Action) -> int:
        """The action's row, a new one if need be.

        Raises:
            BadAction: too many different actions were learned about.

        """
        row = self._rows.get(action.name)
        if row is None:
            if len(self._rows) >= MAX_ACTIONS:
                raise BadAction(
                    f"a policy learns about at most {MAX_ACTIONS} actions; start a new policy"
                )
            row = self._rows[action.name] = len(self._rows)
        return row
