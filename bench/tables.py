"""Cells and lines of Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable

from bandit.frontier import Interval
from bench.routing.figures import Part


def line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def signed(interval: Interval, *, several: bool) -> str:
    """Without the interval where there were not several seeds."""
    mean = f"{interval.mean:+.4f}"
    return f"{mean} [{interval.low:+.4f}, {interval.high:+.4f}]" if several else mean


def point(part: Part) -> str:
    return f"{part.quality:.3f} @ {part.cost_usd:.3g} USD"
