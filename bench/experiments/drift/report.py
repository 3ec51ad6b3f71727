"""Table, runs, curves and pictures of changes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.experiments.drift.adaptation import (
    FAIR,
    GIVEN_UP,
    NOTICED,
    SPARED_OVER,
    WINDOW,
    WITHIN,
    Adaptation,
)
from bench.experiments.drift.replays import DriftJob
from bench.experiments.drift.summary import AT_ONCE, DriftSummary
from bench.lab.plots import sheet
from bench.lab.report import csv_text, document, table

NOTE = (
    f"*Requests until*: after the change, until from there on the mean over {WINDOW} requests is "
    "as wanted. *back*: the reward expected by the probabilities and every arm's mean is within "
    f"{WITHIN:.0%} of the best arm's; *on curve*: the recorded reward, mean of the seeds, is; "
    f"*left*: the arm gets {GIVEN_UP:.0%} of the calls or less; *found*, *fair*: it gets "
    f"{NOTICED:.0%}, {FAIR:.0%} of the calls it gets where nothing changes; *spared*: its share of "
    f"the first {SPARED_OVER} requests. Median, in brackets least and most of the seeds; a mark is "
    "held on the curve for *back*, by the mean for *spared* and *still*, else by the median. "
    "*Lost*: reward that the best arm had more since the change, summed; *blind*: by the same "
    "policy that watches for no change. *Versus blind*: difference in mean reward per request, "
    "seed by seed, with a 95 % bootstrap interval."
)
HEADER = (
    *("stream", "scenario", "feedback", "arm", "goal", "requests until"),
    *("on curve", "mark", "held", "lost", "lost blind", "versus blind"),
)


def markdown(found: Sequence[DriftSummary], said: str) -> str:
    return document("Following change", NOTE, said, [table(HEADER, map(_cells, found))])


def _cells(row: DriftSummary) -> Iterator[str]:
    scenario = row.scenario
    yield from (row.stream, f"{scenario.name}: {scenario.said}", row.feedback, row.target)
    yield from (scenario.goal, _until(row))
    yield _count(row.on_curve) if scenario.goal == "back" else ""
    yield _mark(row)
    yield {True: "yes", False: "**no**", None: ""}[row.kept]
    yield f"{row.lost:.1f}"
    yield "" if math.isnan(row.lost_blind) else f"{row.lost_blind:.1f}"
    versus = row.versus
    yield f"{versus.mean:+.5f} [{versus.low:+.5f}, {versus.high:+.5f}]" if versus else ""


def _until(row: DriftSummary) -> str:
    if row.scenario.goal == "still":
        return ""
    if row.scenario.goal == "spared":
        return f"{np.mean(row.taken):.1%} [{min(row.taken):.1%}, {max(row.taken):.1%}]"
    least, most = (_count(value) for value in (min(row.taken), max(row.taken)))
    return f"{_count(row.median)} [{least}, {most}]"


def _count(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else "never"


def _mark(row: DriftSummary) -> str:
    most = row.scenario.most
    if most is None or row.feedback != AT_ONCE:
        return ""
    return {"spared": f"≤ {most:.0%}", "still": f"≥ -{most:g}"}.get(
        row.scenario.goal, f"≤ {most:g}"
    )


def runs_csv(done: Mapping[DriftJob, Adaptation]) -> str:
    columns = ("stream", "scenario", "feedback", "policy", "seed", "arm", "taken", "lost", "reward")
    return csv_text(
        columns,
        (
            (*job.panel, job.variant.name, job.seed, one.target, one.taken, one.lost, one.reward)
            for job, one in done.items()
        ),
    )


def curves_csv(found: Sequence[DriftSummary]) -> str:
    """Returns means over the window that begins `step` requests after the change."""
    columns = ("stream", "scenario", "feedback", "step", "advantage", "advantage_blind", "share")
    return csv_text(columns, (line for row in found for line in _curve(row)))


def _curve(row: DriftSummary) -> Iterator[Sequence[object]]:
    blind = row.curve_blind.tolist() if len(row.curve_blind) else [""] * len(row.steps)
    for step, *values in zip(row.steps.tolist(), row.curve, blind, row.share, strict=True):
        yield (row.stream, row.scenario.name, row.feedback, int(step), *values)


def draw_plots(rows: Sequence[DriftSummary], path: Path) -> None:
    """Draw a panel per scenario of one stream. Raises BenchError."""
    names = list(dict.fromkeys(row.scenario.name for row in rows))
    title = f"{rows[0].stream}: means over {WINDOW} requests and {len(rows[0].taken)} seeds"
    with sheet(path, (len(names), 2), (14, 2.6), title) as axes:
        for name, (left, right) in zip(names, axes, strict=True):
            _draw_panel(left, right, [row for row in rows if row.scenario.name == name])


def _draw_panel(left: Any, right: Any, rows: Sequence[DriftSummary]) -> None:
    for i, row in enumerate(rows):
        color = f"C{i}"
        left.plot(row.steps, row.curve, color=color, linewidth=1, label=row.feedback)
        if len(row.curve_blind):
            label = f"{row.feedback}, watching for nothing"
            left.plot(row.steps, row.curve_blind, color=color, linewidth=1, ls=":", label=label)
        right.plot(row.steps, row.share, color=color, linewidth=1)
    for axis in (left, right):
        axis.axvline(0, color="black", linewidth=0.8)
    left.axhline(0, color="black", linewidth=0.8)
    left.set(title=rows[0].scenario.said, ylabel="reward over best arm")
    right.set(title=f"share of {rows[0].target}", xlabel="requests since the change", ylim=(0, 1))
