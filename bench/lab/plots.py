"""Pictures of replays: a sheet of panels, the frontier, curves of learning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np

from bandit.frontier import hull
from bench.lab.figures import RunScore, StreamComparison, VariantSummary
from bench.lab.recorded import BenchError

mpl.use("Agg")
from matplotlib import pyplot as plt

SMOOTH: Final = 5
MARKERS: Final = "osD^vPX*<>hp"
Style = dict[str, Any]


@contextmanager
def sheet(
    path: Path, panels: tuple[int, int], inches: tuple[float, float], title: str
) -> Iterator[Any]:
    """Yield axes to draw on; the figure is written to `path` in the end, or BenchError raised.

    panels: rows, columns; the legend is that of the first. inches: width, height of a row.
    """
    rows, columns = panels
    size = (inches[0], inches[1] * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    try:
        figure.suptitle(title)
        yield axes
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8)
        figure.savefig(path, dpi=110)
    except OSError:
        raise BenchError(f"{path} cannot be written; choose another --out") from None
    finally:
        plt.close(figure)


@contextmanager
def comparison_sheet(found: Sequence[StreamComparison], path: Path, width: float) -> Iterator[Any]:
    """Yield axes with a row of three panels for each comparison of one stream."""
    first = found[0]
    title = f"{first.stream}: {first.requests} requests, {first.seeds} seeds"
    with sheet(path, (len(found), 3), (width, 5.2), title) as axes:
        yield axes


def styled(rows: Sequence[VariantSummary]) -> list[tuple[VariantSummary, Style]]:
    """Returns each row with its color."""
    colors = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]  # of a listed colormap
    return [(row, {"color": colors[i % len(colors)]}) for i, row in enumerate(rows)]


def draw_hull(axis: Any, arms: Sequence[RunScore], label: str) -> None:
    """Draw quality over cost; the axis of cost is logarithmic where nothing is free."""
    usd, quality = [arm.cost_usd for arm in arms], [arm.quality for arm in arms]
    corners = hull(usd, quality)
    # Between two arms mixes lie on a line in cost, which is a curve on a logarithmic axis.
    along = np.interp(
        np.linspace(0, len(corners) - 1, 200), range(len(corners)), [usd[i] for i in corners]
    )
    heights = np.interp(along, [usd[i] for i in corners], [quality[i] for i in corners])
    axis.plot(along, heights, color="black", linewidth=1, label=label)
    if min(usd) > 0:
        axis.set_xscale("log")
    axis.set(xlabel="USD per request", ylabel="quality")


def draw_points(axis: Any, found: StreamComparison) -> None:
    """Draw cost and quality of every variant; those named as an arm are squares."""
    for i, (row, style) in enumerate(styled(found.rows)):
        marker, point = MARKERS[i % len(MARKERS)], row.score
        marker = "s" if row.name in found.arms else marker
        axis.scatter(point.cost_usd, point.quality, marker=marker, s=40, label=row.name, **style)
    axis.set(title=f"frontier, λ = {found.cost_weight}")


def draw_learning(axis: Any, found: StreamComparison, bar: str) -> None:
    """Draw rewards over those of `bar`, smoothed over a few blocks; single arms are left out."""
    for row, style in styled(found.rows):
        if row.name not in found.arms:
            _draw_advantage(axis, row, found.requests, style)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(xlabel="requests", ylabel=f"reward over {bar}", title="learning")


def _draw_advantage(axis: Any, row: VariantSummary, requests: int, style: Style) -> None:
    blocks = len(row.advantage)
    width = min(SMOOTH, blocks)
    smooth = np.convolve(row.advantage, np.full(width, 1 / width), mode="valid")
    axis.plot(np.arange(width, blocks + 1) / blocks * requests, smooth, linewidth=1, **style)
