"""What pictures of replays have in common: a sheet of panels, the hull, curves of learning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np

from bandit.frontier import hull
from bandit.types import Vector
from bench.routing.errors import BenchError
from bench.routing.figures import Part

mpl.use("Agg")
from matplotlib import pyplot as plt

SMOOTH: Final = 5
MARKERS: Final = "osD^vPX*<>hp"


@contextmanager
def sheet(path: Path, panels: tuple[int, int], inches: tuple[float, float]) -> Iterator[Any]:
    """(figure, axes) to draw on, written to `path` in the end.

    panels: rows, columns. inches: width of the sheet, height of a row. The legend is that of the
    first panel. Raises BenchError when the file can't be written.
    """
    rows, columns = panels
    size = (inches[0], inches[1] * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    try:
        yield figure, axes
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8)
        _save(figure, path)
    finally:
        plt.close(figure)


def _save(figure: Any, path: Path) -> None:
    try:
        figure.savefig(path, dpi=110)
    except OSError:
        raise BenchError(f"{path} cannot be written; choose another --out") from None


def styles(count: int) -> list[dict[str, Any]]:
    """A colour for each of so many lines."""
    colours = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]  # of a listed colormap
    return [{"color": colours[i % len(colours)]} for i in range(count)]


def draw_hull(axis: Any, arms: Sequence[Part], label: str) -> None:
    """Of cost and quality; the axis of cost is logarithmic where nothing is free."""
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


def draw_learning(axis: Any, advantage: Vector, requests: int, style: dict[str, Any]) -> None:
    """Smoothed over a few blocks of the stream; advantage: (blocks,)."""
    width = min(SMOOTH, len(advantage))
    smooth = np.convolve(advantage, np.full(width, 1 / width), mode="valid")
    last = np.arange(width, len(advantage) + 1) / len(advantage)
    axis.plot(last * requests, smooth, linewidth=1, **style)
