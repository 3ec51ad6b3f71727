"""Ends a text at the caller's stop sequences, where the provider does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class StopCut:
    """Takes a text in pieces and gives back as much of it as no stop sequence can still begin in.

    stopped: a sequence was found; it and all behind it are left out. held: what may begin one.
    """

    stops: tuple[str, ...]
    stopped: bool = False
    held: str = ""

    def feed(self, piece: str) -> str:
        if self.stopped:
            return ""
        text = self.held + piece
        found = [at for stop in self.stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self.held = True, ""
            return text[: min(found)]
        keep = held_back(text, self.stops)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        """Returns what was held back, once nothing follows."""
        held, self.held = self.held, ""
        return held


def held_back(text: str, stops: Iterable[str]) -> int:
    """Returns how many characters at the end of a text may be the beginning of a stop sequence.

    >>> held_back("one EN", ["END", "NO"])
    2
    """
    return max((_overlap(text, stop) for stop in stops), default=0)


def _overlap(text: str, stop: str) -> int:
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
