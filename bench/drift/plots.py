"""Curves around the change: a picture per stream, a panel per scenario."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from bench.drift.figures import WINDOW
from bench.drift.summary import Row
from bench.routing.errors import BenchError

mpl.use("Agg")
from matplotlib import pyplot as plt


def draw(rows: Sequence[Row], path: Path) -> None:
    """rows: of one stream. Raises BenchError when the file can't be written."""
    names = list(dict.fromkeys(row.scenario.name for row in rows))
    figure, axes = plt.subplots(
        len(names), 2, figsize=(14, 2.6 * len(names)), squeeze=False, layout="constrained"
    )
    for name, (left, right) in zip(names, axes, strict=True):
        _panel(left, right, [row for row in rows if row.scenario.name == name])
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8)
    figure.suptitle(
        f"{rows[0].stream}: means over {WINDOW} requests and {len(rows[0].taken)} seeds"
    )
    try:
        figure.savefig(path, dpi=100)
    except OSError:
        raise BenchError(f"{path} cannot be written; choose another --out") from None
    finally:
        plt.close(figure)


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
