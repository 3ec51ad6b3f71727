"""Summaries over the seeds as table, runs, curves and pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bandit.frontier import Interval
from bandit.types import Vector
from bench.experiments.drift.changes import Scenario
from bench.experiments.drift.replays import (
    FAIR,
    GIVEN_UP,
    NOTICED,
    SPARED_OVER,
    WINDOW,
    WITHIN,
    Adaptation,
    DriftJob,
    first,
    rolling,
)
from bench.lab.figures import interval
from bench.lab.plots import sheet
from bench.lab.report import csv_text, document, table

WATCHING, BLIND = "watching", "blind"
AT_ONCE = "at once"
"""The feedback under which marks hold."""
BEFORE, AFTER = 200, 600
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


@dataclass(frozen=True, slots=True)
class DriftSummary:
    """One scenario on one stream under one kind of feedback, over the seeds.

    taken: of each seed, as in `Adaptation`. on_curve: requests after which the mean reward of all
    seeds over a window is within 5 % of the best arm's. lost, lost_blind: mean reward lost since
    the change, with and without watching. versus: reward minus that without, seed by seed; None
    where not run. curve, curve_blind: mean advantage over the window that begins at each of
    `steps`, which count from the change; share: likewise of the arm that changes.
    """

    stream: str
    scenario: Scenario
    feedback: str
    target: str
    taken: tuple[float, ...]
    on_curve: float
    lost: float
    lost_blind: float
    versus: Interval | None
    steps: Vector
    curve: Vector
    curve_blind: Vector
    share: Vector

    @property
    def median(self) -> float:
        return float(np.median(self.taken))

    @property
    def kept(self) -> bool | None:
        """The mark is held: `back` on the curve, others by the seeds' median or mean."""
        most = self.scenario.most
        if most is None or self.feedback != AT_ONCE:
            return None
        if self.scenario.goal == "still":
            return None if self.versus is None else self.versus.mean >= -most
        if self.scenario.goal == "spared":
            return float(np.mean(self.taken)) <= most
        return (self.on_curve if self.scenario.goal == "back" else self.median) <= most


def summarize(done: Mapping[DriftJob, Adaptation]) -> list[DriftSummary]:
    """Returns a summary per scenario, stream and kind of feedback, in the order of `done`."""
    groups: dict[tuple[str, str, str], dict[str, list[tuple[DriftJob, Adaptation]]]] = {}
    for job, found in done.items():
        group = groups.setdefault(job.panel, {})
        group.setdefault(job.variant.name, []).append((job, found))
    return [_row(group[WATCHING], group.get(BLIND, [])) for group in groups.values()]


def _row(
    watching: Sequence[tuple[DriftJob, Adaptation]], blind: Sequence[tuple[DriftJob, Adaptation]]
) -> DriftSummary:
    job, one = watching[0]
    runs, others = [f for _, f in watching], [f for _, f in blind]
    gains = [a.reward - b.reward for a, b in zip(runs, others, strict=False)]
    return DriftSummary(
        stream=job.stream,
        scenario=job.scenario,
        feedback=job.feedback.name,
        target=one.target,
        taken=tuple(found.taken for found in runs),
        on_curve=_on_curve(runs),
        lost=float(np.mean([found.lost for found in runs])),
        lost_blind=float(np.mean([found.lost for found in others])) if others else math.nan,
        versus=interval(gains) if gains else None,
        steps=_steps(one),
        curve=_mean([f.advantage for f in runs], one),
        curve_blind=_mean([f.advantage for f in others], one),
        share=_mean([f.share for f in runs], one),
    )


def _on_curve(runs: Sequence[Adaptation]) -> float:
    since = runs[0].start
    curve = np.mean([f.advantage[since:].astype(np.float64) for f in runs], axis=0)
    level = abs(float(np.mean([f.level for f in runs])))
    return first(rolling(curve) >= -WITHIN * level)


def _around(found: Adaptation) -> slice:
    return slice(max(0, found.start - BEFORE), found.start + AFTER)


def _steps(found: Adaptation) -> Vector:
    around = _around(found)
    shown = rolling(found.advantage[around].astype(np.float64))
    steps: Vector = np.arange(len(shown), dtype=np.float64) + around.start - found.start
    return steps


def _mean(values: Sequence[np.ndarray], one: Adaptation) -> Vector:
    if not values:
        return np.zeros(0)
    mean: Vector = np.mean([v[_around(one)].astype(np.float64) for v in values], axis=0)
    return rolling(mean)


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
