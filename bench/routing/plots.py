"""Pictures of one stream: the frontier, learning and regret, a row per cost weight."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.pictures import MARKERS, draw_hull, draw_learning, sheet, styles
from bench.routing.summary import Table


def draw(tables: Sequence[Table], path: Path) -> None:
    """tables: of one stream. Raises BenchError when the file can't be written."""
    first = tables[0]
    with sheet(path, (len(tables), 3), (18, 5.2)) as (figure, axes):
        figure.suptitle(f"{first.stream}: {first.requests} requests, {first.seeds} seeds")
        for table, (frontier, learning, regret) in zip(tables, axes, strict=True):
            _frontier(frontier, table)
            _learning(learning, table)
            _regret(regret, table)


def _frontier(axis: Any, table: Table) -> None:
    draw_hull(axis, list(table.arms.values()), "hull of fixed arms")
    usd = [arm.cost_usd for arm in table.arms.values()]
    quality = [arm.quality for arm in table.arms.values()]
    axis.scatter(usd, quality, color="black", marker="s", s=30, label="fixed arms")
    for name, x, y in zip(table.arms, usd, quality, strict=True):
        axis.annotate(name, (x, y), fontsize=7, xytext=(4, -9), textcoords="offset points")
    axis.scatter(
        table.oracle.cost_usd, table.oracle.quality, color="gold", marker="*", s=140, label="oracle"
    )
    for i, (row, style) in enumerate(zip(table.rows, styles(len(table.rows)), strict=True)):
        marker, point = MARKERS[i % len(MARKERS)], row.point
        axis.scatter(point.cost_usd, point.quality, marker=marker, s=40, label=row.name, **style)
    axis.set(title=f"frontier, λ = {table.cost_weight}")


def _learning(axis: Any, table: Table) -> None:
    for row, style in zip(table.rows, styles(len(table.rows)), strict=True):
        draw_learning(axis, row.advantage, table.requests, style)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(xlabel="requests", ylabel="reward over best fixed arm", title="learning")


def _regret(axis: Any, table: Table) -> None:
    for row, style in zip(table.rows, styles(len(table.rows)), strict=True):
        blocks = len(row.advantage)
        regret = np.append(0.0, -row.advantage.cumsum() * table.requests / blocks)
        axis.plot(np.linspace(0, table.requests, blocks + 1), regret, linewidth=1, **style)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(xlabel="requests", ylabel="lost to the best fixed arm", title="regret")
