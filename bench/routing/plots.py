"""Pictures of one stream: the frontier, learning and regret, a row per cost weight."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from bandit.frontier import hull
from bench.routing.errors import BenchError
from bench.routing.summary import Table

mpl.use("Agg")
from matplotlib import pyplot as plt

SMOOTH = 5
MARKERS = "osD^vPX*<>hp"


def draw(tables: Sequence[Table], path: Path) -> None:
    """tables: of one stream. Raises BenchError when the file can't be written."""
    figure, axes = plt.subplots(
        len(tables), 3, figsize=(18, 5.2 * len(tables)), squeeze=False, layout="constrained"
    )
    for table, (frontier, learning, regret) in zip(tables, axes, strict=True):
        _frontier(frontier, table)
        _learning(learning, table)
        _regret(regret, table)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8)
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
    axis.plot(along, heights, color="black", linewidth=1, label="hull of fixed arms")
    axis.scatter(usd, quality, color="black", marker="s", s=30, label="fixed arms")
    for name, x, y in zip(table.arms, usd, quality, strict=True):
        axis.annotate(name, (x, y), fontsize=7, xytext=(4, -9), textcoords="offset points")
    axis.scatter(
        table.oracle.cost_usd, table.oracle.quality, color="gold", marker="*", s=140, label="oracle"
    )
    for i, (row, style) in enumerate(zip(table.rows, _styles(table), strict=True)):
        axis.scatter(
            row.point.cost_usd,
            row.point.quality,
            marker=MARKERS[i % len(MARKERS)],
            s=40,
            label=row.name,
            **style,
        )
    if min(usd) > 0:
        axis.set_xscale("log")
    axis.set(xlabel="USD per request", ylabel="quality", title=f"frontier, λ = {table.cost_weight}")


def _learning(axis: Any, table: Table) -> None:
    """Smoothed over a few blocks of the stream."""
    for row, style in zip(table.rows, _styles(table), strict=True):
        width = min(SMOOTH, len(row.advantage))
        smooth = np.convolve(row.advantage, np.full(width, 1 / width), mode="valid")
        last = np.arange(width, len(row.advantage) + 1) / len(row.advantage)
        axis.plot(last * table.requests, smooth, linewidth=1, **style)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(xlabel="requests", ylabel="reward over best fixed arm", title="learning")


def _regret(axis: Any, table: Table) -> None:
    for row, style in zip(table.rows, _styles(table), strict=True):
        blocks = len(row.advantage)
        regret = np.append(0.0, -row.advantage.cumsum() * table.requests / blocks)
        axis.plot(np.linspace(0, table.requests, blocks + 1), regret, linewidth=1, **style)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(xlabel="requests", ylabel="lost to the best fixed arm", title="regret")
