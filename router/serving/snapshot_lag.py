"""How long a position of the log has been behind, told from when newer ones were first seen."""

from __future__ import annotations

from typing import Final

MOST: Final = 1_024


class LagTracker:
    """Numbers of newest events with the time each was first seen, in seconds, oldest first.

    Only what is newer than the position asked for last is kept, at most MOST; past that every
    second sighting is dropped, and times are as much coarser.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def add(self, now_s: float, newest: int) -> None:
        if self._seen and newest <= self._seen[-1][1]:
            return
        self._seen.append((now_s, newest))
        if len(self._seen) > MOST:
            self._seen = self._seen[::2]

    def behind_s(self, now_s: float, position: int) -> float:
        """Since when there has been something newer than `position`; 0.0 where there is not."""
        self._seen = [sighting for sighting in self._seen if sighting[1] > position]
        return max(0.0, now_s - self._seen[0][0]) if self._seen else 0.0
