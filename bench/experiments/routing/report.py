"""Tables and pictures of policies on single arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.lab.figures import StreamComparison, VariantSummary
from bench.lab.plots import comparison_sheet, draw_hull, draw_learning, draw_points, styled
from bench.lab.report import document, gain_cells, point, section, signed, table

TITLE: Final = "Routing on recorded outcomes"
NOTE: Final = (
    "Reward: quality less λ · cost / unit. *Gain*: mean reward minus that of the best fixed arm in "
    "hindsight, on the whole stream and on its second half. *Above hull*: mean quality minus that "
    "of the best random mix of fixed arms at the same mean cost. *Worst*: the least gain of a "
    "seed. *Versus first*: reward minus that of the table's first policy, seed by seed. In "
    "brackets: 95 % bootstrap intervals over the seeds. APGR and CPT are of the second half, in %, "
    "with the estimated difference in quality as score, or the probability where a policy is told."
)
RECOVERED: Final = ("apgr", "cpt50", "cpt80")
TIMES: Final = ("decide_us", "call_us", "learn_us")


def markdown(
    found: Sequence[StreamComparison],
    units_usd: Mapping[str, float],
    origins: Mapping[str, str],
    terms: str,
) -> str:
    """origins: where the context map and the price priors of a stream come from."""
    sections = [_section(one, units_usd[one.stream], origins[one.stream]) for one in found]
    return document(TITLE, NOTE, terms, sections)


def _section(found: StreamComparison, unit_usd: float, origin: str) -> list[str]:
    two = any(values for row in found.rows for values in row.measures.values())
    header = ["policy", "gain", "second half", "above hull", "second half", "worst"]
    header += ["versus first", f"share of {' / '.join(found.arms)}"]
    header += ["APGR", "CPT50", "CPT80"] if two else []
    header += ["µs decide", "µs learn"]
    rows = [_cells(row, several=found.seeds > 1, two=two) for row in found.rows]
    more = f"; oracle {point(found.oracle)}. {origin}"
    return section(found, unit_usd, more, table(header, rows, numeric=True))


def _cells(row: VariantSummary, *, several: bool, two: bool) -> list[str]:
    cells = [row.name, *gain_cells(row, several=several)]
    cells.append(signed(row.versus, several=several) if row.versus else "")
    cells.append(" / ".join(f"{share:.0%}" for share in row.shares.values()))
    if two:
        cells += [f"{100 * row.mean(m):.1f}" if row.measures[m] else "" for m in RECOVERED]
    return [*cells, f"{row.us[0]:.0f}", f"{row.us[2]:.0f}"]


def draw_plots(found: Sequence[StreamComparison], path: Path) -> None:
    """Draw frontier, learning and regret of one stream. Raises BenchError."""
    with comparison_sheet(found, path, 18) as axes:
        for one, (frontier, learning, regret) in zip(found, axes, strict=True):
            _frontier(frontier, one)
            draw_learning(learning, one, "best fixed arm")
            _regret(regret, one)


def _frontier(axis: Any, found: StreamComparison) -> None:
    draw_hull(axis, list(found.arms.values()), "hull of fixed arms")
    usd = [arm.cost_usd for arm in found.arms.values()]
    quality = [arm.quality for arm in found.arms.values()]
    axis.scatter(usd, quality, color="black", marker="s", s=30, label="fixed arms")
    for name, x, y in zip(found.arms, usd, quality, strict=True):
        axis.annotate(name, (x, y), fontsize=7, xytext=(4, -9), textcoords="offset points")
    best = found.oracle
    axis.scatter(best.cost_usd, best.quality, color="gold", marker="*", s=140, label="oracle")
    draw_points(axis, found)


def _regret(axis: Any, found: StreamComparison) -> None:
    for row, style in styled(found.rows):
        blocks = len(row.advantage)
        regret = np.append(0.0, -row.advantage.cumsum() * found.requests / blocks)
        axis.plot(np.linspace(0, found.requests, blocks + 1), regret, linewidth=1, **style)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(xlabel="requests", ylabel="lost to the best fixed arm", title="regret")
