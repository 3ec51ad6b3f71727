"""Curves around the change: a picture per stream, a panel per scenario."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.drift.figures import WINDOW
from bench.drift.summary import Row
from bench.pictures import sheet


def draw(rows: Sequence[Row], path: Path) -> None:
    """rows: of one stream. Raises BenchError when the file can't be written."""
    names = list(dict.fromkeys(row.scenario.name for row in rows))
    first = rows[0]
    with sheet(path, (len(names), 2), (14, 2.6)) as (figure, axes):
        figure.suptitle(
            f"{first.stream}: means over {WINDOW} requests and {len(first.taken)} seeds"
        )
        for name, (left, right) in zip(names, axes, strict=True):
            _panel(left, right, [row for row in rows if row.scenario.name == name])


def _panel(left: Any, right: Any, rows: Sequence[Row]) -> None:
    for i, row in enumerate(rows):
        colour = f"C{i}"
        left.plot(row.steps, row.curve, color=colour, linewidth=1, label=row.feedback)
        if len(row.curve_blind):
            label = f"{row.feedback}, watching for nothing"
            left.plot(row.steps, row.curve_blind, color=colour, linewidth=1, ls=":", label=label)
        right.plot(row.steps, row.share, color=colour, linewidth=1)
    for axis in (left, right):
        axis.axvline(0, color="black", linewidth=0.8)
    left.axhline(0, color="black", linewidth=0.8)
    left.set(title=rows[0].scenario.said, ylabel="reward over best arm")
    right.set(title=f"share of {rows[0].target}", xlabel="requests since the change", ylim=(0, 1))
