"""Pictures of one stream: the frontier, learning, and what was escalated, a row per weight."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from bandit.frontier import hull
from bench.cascade.summary import Table
from bench.routing.errors import BenchError

mpl.use("Agg")
from matplotlib import pyplot as plt

SMOOTH = 5
MARKERS = "osD^vPX*<>hp"


def draw(tables: Sequence[Table], path: Path) -> None:
    """tables: of one stream. Raises BenchError when the file can't be written."""
    figure, axes = plt.subplots(
        len(tables), 3, figsize=(19, 5.2 * len(tables)), squeeze=False, layout="constrained"
    )
    for table, (frontier, learning, bars) in zip(tables, axes, strict=True):
        _frontier(frontier, table)
        _learning(learning, table)
        _calls(bars, table)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8)
    figure.suptitle(f"{tables[0].stream}: {tables[0].requests} requests, {tables[0].seeds} seeds")
    try:
        figure.savefig(path, dpi=110)
    except OSError:
        raise BenchError(f"{path} cannot be written; choose another --out") from None
    finally:
        plt.close(figure)


def _styles(table: Table) -> list[dict[str, Any]]:
    colours = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]  # of a listed colormap
    return [{"color": colours[i % len(colours)]} for i in range(len(table.rows))]


def _frontier(axis: Any, table: Table) -> None:
    usd = [arm.cost_usd for arm in table.arms.values()]
    quality = [arm.quality for arm in table.arms.values()]
    corners = hull(usd, quality)
    # Between two arms mixes lie on a line in cost, which is a curve on a logarithmic axis.
    along = np.interp(
        np.linspace(0, len(corners) - 1, 200), range(len(corners)), [usd[i] for i in corners]
    )
    heights = np.interp(along, [usd[i] for i in corners], [quality[i] for i in corners])
    axis.plot(along, heights, color="black", linewidth=1, label="hull of single arms")
    for i, (row, style) in enumerate(zip(table.rows, _styles(table), strict=True)):
        marker = "s" if row.name in table.arms else MARKERS[i % len(MARKERS)]
        axis.scatter(
            row.point.cost_usd, row.point.quality, marker=marker, s=40, label=row.name, **style
        )
    if min(usd) > 0:
        axis.set_xscale("log")
    axis.set(xlabel="USD per request", ylabel="quality", title=f"frontier, λ = {table.cost_weight}")


def _learning(axis: Any, table: Table) -> None:
    """Smoothed over a few blocks of the stream; single arms are left out."""
    for row, style in zip(table.rows, _styles(table), strict=True):
        if row.name in table.arms:
            continue
        width = min(SMOOTH, len(row.advantage))
        smooth = np.convolve(row.advantage, np.full(width, 1 / width), mode="valid")
        last = np.arange(width, len(row.advantage) + 1) / len(row.advantage)
        axis.plot(last * table.requests, smooth, linewidth=1, **style)
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
