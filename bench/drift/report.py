"""The table as Markdown, every run and the curves as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bench.drift.figures import FAIR, GIVEN_UP, NOTICED, SPARED_OVER, WINDOW, WITHIN, Followed
from bench.drift.jobs import Job
from bench.drift.summary import AT_ONCE, Row
from bench.tables import line

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
    *(
        "stream",
        "scenario",
        "feedback",
        "arm",
        "goal",
        "requests until",
        "on curve",
        "mark",
        "held",
    ),
    *("lost", "lost blind", "versus blind"),
)


def markdown(found: Sequence[Row], said: str) -> str:
    lines = ["# Following change", "", NOTE, "", said, "", line(HEADER)]
    lines.append(line(["---"] * len(HEADER)))
    return "\n".join([*lines, *(line(_cells(row)) for row in found), ""])


def _cells(row: Row) -> Iterator[str]:
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


def _until(row: Row) -> str:
    if row.scenario.goal == "still":
        return ""
    if row.scenario.goal == "spared":
        return f"{np.mean(row.taken):.1%} [{min(row.taken):.1%}, {max(row.taken):.1%}]"
    least, most = (_count(value) for value in (min(row.taken), max(row.taken)))
    return f"{_count(row.median)} [{least}, {most}]"


def _count(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else "never"


def _mark(row: Row) -> str:
    most = row.scenario.most
    if most is None or row.feedback != AT_ONCE:
        return ""
    return {"spared": f"≤ {most:.0%}", "still": f"≥ -{most:g}"}.get(
        row.scenario.goal, f"≤ {most:g}"
    )


def runs_csv(done: Mapping[Job, Followed]) -> str:
    columns = ("stream", "scenario", "feedback", "policy", "seed", "arm", "taken", "lost", "reward")
    return _csv(
        columns,
        (
            [
                *(job.stream, job.scenario.name, job.feedback.name, job.variant.name, job.seed),
                *(found.target, found.taken, found.lost, found.reward),
            ]
            for job, found in done.items()
        ),
    )


def curves_csv(found: Sequence[Row]) -> str:
    """Means over the window that begins `step` requests after the change, and over the seeds."""
    columns = ("stream", "scenario", "feedback", "step", "advantage", "advantage_blind", "share")
    return _csv(
        columns,
        (
            [row.stream, row.scenario.name, row.feedback, int(step), *values]
            for row in found
            for step, *values in zip(
                row.steps.tolist(), row.curve, _padded(row), row.share, strict=True
            )
        ),
    )


def _padded(row: Row) -> Sequence[float | str]:
    return row.curve_blind.tolist() if len(row.curve_blind) else [""] * len(row.steps)


def _csv(columns: Sequence[str], lines: Iterator[list[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)
    return buffer.getvalue()
