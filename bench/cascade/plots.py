"""Pictures of one stream: the frontier, learning, and what was escalated, a row per weight."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.cascade.summary import Table
from bench.pictures import MARKERS, draw_hull, draw_learning, sheet, styles


def draw(tables: Sequence[Table], path: Path) -> None:
    """tables: of one stream. Raises BenchError when the file can't be written."""
    first = tables[0]
    with sheet(path, (len(tables), 3), (19, 5.2)) as (figure, axes):
        figure.suptitle(f"{first.stream}: {first.requests} requests, {first.seeds} seeds")
        for table, (frontier, learning, bars) in zip(tables, axes, strict=True):
            _frontier(frontier, table)
            _learning(learning, table)
            _calls(bars, table)


def _frontier(axis: Any, table: Table) -> None:
    draw_hull(axis, list(table.arms.values()), "hull of single arms")
    for i, (row, style) in enumerate(zip(table.rows, styles(len(table.rows)), strict=True)):
        marker = "s" if row.name in table.arms else MARKERS[i % len(MARKERS)]
        point = row.point
        axis.scatter(point.cost_usd, point.quality, marker=marker, s=40, label=row.name, **style)
    axis.set(title=f"frontier, λ = {table.cost_weight}")


def _learning(axis: Any, table: Table) -> None:
    """Single arms are left out."""
    for row, style in zip(table.rows, styles(len(table.rows)), strict=True):
        if row.name not in table.arms:
            draw_learning(axis, row.advantage, table.requests, style)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(xlabel="requests", ylabel="reward over best single arm", title="learning")


def _calls(axis: Any, table: Table) -> None:
    rows = [row for row in table.rows if row.name not in table.arms]
    at = np.arange(len(rows))
    axis.barh(at + 0.2, [row.asked for row in rows], 0.35, color="tab:blue", label="asked")
    axis.barh(at - 0.2, [row.escalated for row in rows], 0.35, color="tab:red", label="escalated")
    for y, row in zip(at, rows, strict=True):
        if row.bad is not None:
            said = f" {row.bad:.1%} of cheap answers bad"
            axis.annotate(said, (max(row.asked, row.escalated), y), fontsize=7, va="center")
    axis.set_yticks(at, [row.name for row in rows], fontsize=7)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1.3), xlabel="share of requests", title="second opinions and escalations")
    axis.legend(fontsize=7)
