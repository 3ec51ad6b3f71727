"""Tables and pictures of plans with a gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.experiments.cascade.replays import BAD_BELOW
from bench.lab.figures import StreamComparison, VariantSummary
from bench.lab.plots import comparison_sheet, draw_hull, draw_learning, draw_points
from bench.lab.report import document, gain_cells, section, table

TITLE: Final = "Plans with a gate on recorded answers"
NOTE: Final = (
    "Reward: quality less λ · cost / unit, audits charged. *Gain*: mean reward minus that of the "
    "best single arm in hindsight, on the whole stream and on its second half. *Above hull*: mean "
    "quality minus that of the best random mix of single arms at the same mean cost. *Worst*: the "
    "least gain of a seed. *Escalated*, *asked*: requests on which a plan called its strong arm, "
    "its second arm. *Bad*: of the cheap answers that plans served, the share with a quality below "
    f"{BAD_BELOW:g}, and in the worst seed. *Audits*: of requests, and the reward they cost. In "
    "brackets: 95 % bootstrap intervals over the seeds. The perfect gate accepts a first answer "
    "exactly where it is right. *Plans for their arms*: what a plan may call is not to be had "
    "alone."
)
HEADER: Final = (
    *("variant", "gain", "second half", "above hull", "second half", "worst", "escalated"),
    *("asked", "cheap served", "bad (worst seed)", "audits", "shares", "µs decide", "µs gate"),
    "µs learn",
)
LEAST_SHARE: Final = 0.005
TIMES: Final = ("decide_us", "call_us", "learn_us", "gate_us")


def markdown(
    found: Sequence[StreamComparison],
    units_usd: Mapping[str, float],
    plans: Sequence[str],
    terms: str,
) -> str:
    """plans: as they read."""
    more = f". Plans: {'; '.join(plans)}."
    sections = [
        section(
            one,
            units_usd[one.stream],
            more,
            table(HEADER, [_cells(row, several=one.seeds > 1) for row in one.rows], numeric=True),
        )
        for one in found
    ]
    return document(TITLE, NOTE, terms, sections)


def _cells(row: VariantSummary, *, several: bool) -> list[str]:
    bad, audited = row.measures["bad"], row.mean("audited")
    shares = sorted(row.shares.items(), key=lambda pair: -pair[1])
    return [
        row.name,
        *gain_cells(row, several=several),
        *(f"{row.mean(name):.0%}" for name in ("escalated", "asked", "cheap_served")),
        f"{row.mean('bad'):.1%} ({max(bad):.1%})" if bad else "",
        f"{audited:.1%}, {-row.mean('audit_cost'):+.4f}" if audited else "",
        ", ".join(f"{name} {share:.0%}" for name, share in shares if share >= LEAST_SHARE),
        *(f"{row.us[i]:.0f}" if any(row.us) else "" for i in (0, 3, 2)),
    ]


def draw_plots(found: Sequence[StreamComparison], path: Path) -> None:
    """Draw frontier, learning and escalations of one stream. Raises BenchError."""
    with comparison_sheet(found, path, 19) as axes:
        for one, (frontier, learning, bars) in zip(found, axes, strict=True):
            draw_hull(frontier, list(one.arms.values()), "hull of single arms")
            draw_points(frontier, one)
            draw_learning(learning, one, "best single arm")
            _draw_calls(bars, [row for row in one.rows if row.name not in one.arms])


def _draw_calls(axis: Any, rows: Sequence[VariantSummary]) -> None:
    at = np.arange(len(rows))
    asked, escalated = ([row.mean(name) for row in rows] for name in ("asked", "escalated"))
    axis.barh(at + 0.2, asked, 0.35, color="tab:blue", label="asked")
    axis.barh(at - 0.2, escalated, 0.35, color="tab:red", label="escalated")
    for y, row in zip(at, rows, strict=True):
        if row.measures["bad"]:
            end = max(row.mean("asked"), row.mean("escalated"))
            said = f" {row.mean('bad'):.1%} of cheap answers bad"
            axis.annotate(said, (end, y), fontsize=7, va="center")
    axis.set_yticks(at, [row.name for row in rows], fontsize=7)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1.3), xlabel="share of requests", title="second opinions and escalations")
    axis.legend(fontsize=7)
