"""The table a newcomer sees: one row per hundred requests, then the bars to clear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from demo.baselines import Outcomes, Score, Utility, always, mix
from demo.client import Sample

ROW = 100
COLD, TAUGHT = "from nothing", "with evidence"
ARMS = ("cheap", "reasoning", "fallback")
CHEAP_AND_DEAR = ("cheap", "reasoning")


def print_report(
    console: Console,
    runs: Mapping[str, Sequence[Sample]],
    outcomes: Mapping[int, Mapping[str, tuple[float, float]]],
    utility: Utility,
    events: Mapping[int, str],
) -> None:
    """runs: of `COLD` and of `TAUGHT`. events: row number -> what happened in it."""
    for name, samples in runs.items():
        table = _table(f"The router that began {name}, per 100 requests")
        for number, begin in enumerate(range(0, len(samples), ROW)):
            part = samples[begin : begin + ROW]
            label = f"{begin + 1}-{begin + len(part)}"
            table.add_row(label, *_cells(part, outcomes, utility), events.get(number, ""))
        table.add_section()
        table.add_row("all", *_cells(samples, outcomes, utility), "")
        console.print(table)
    console.print(_bars(runs, outcomes, utility))


def _table(title: str) -> Table:
    table = Table(
        title=title,
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        collapse_padding=True,
    )
    table.add_column("requests", no_wrap=True)
    for name in (
        *("cheap", "reas.", "fall-\nback", "esca-\nlated", "failed\nover", "from\ncache", "err."),
        *("qual.", "m$/\nreq", "p50\nms", "p95\nms", "reward"),
        *("always\ncheap", "always\nreas.", "random\nmix"),
    ):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    return table


def _cells(
    part: Sequence[Sample], outcomes: Mapping[int, Mapping[str, tuple[float, float]]], u: Utility
) -> list[str]:
    count = len(part)
    shares = [f"{sum(s.arm == arm for s in part) / count:.0%}" for arm in ARMS]
    p50, p95 = np.percentile([s.latency_ms for s in part], [50, 95])
    ours = score(part, u)
    bars = baselines(part, outcomes, u, ours.cost_usd)
    return [
        *shares,
        str(sum(s.escalated for s in part)),
        str(sum(s.failed_over for s in part)),
        str(sum(s.cached for s in part)),
        str(sum(bool(s.error) for s in part)),
        f"{ours.quality:.3f}",
        f"{ours.cost_usd * 1_000:.3f}",
        f"{p50:.0f}",
        f"{p95:.0f}",
        f"[bold]{ours.reward:+.3f}[/bold]",
        *(f"{bar.reward:+.3f}" for bar in bars.values()),
    ]


def score(samples: Sequence[Sample], utility: Utility) -> Score:
    """Means of what the router did; an error counts as quality 0."""
    quality = float(np.mean([s.quality for s in samples]))
    cost_usd = float(np.mean([s.cost_usd for s in samples]))
    return Score(quality, cost_usd, utility.reward(quality, cost_usd))


def baselines(
    samples: Sequence[Sample],
    outcomes: Mapping[int, Mapping[str, tuple[float, float]]],
    utility: Utility,
    cost_usd: float,
) -> dict[str, Score]:
    """Fixed choices on the same prompts, no outage in their way."""
    same: Outcomes = [outcomes[s.index] for s in samples]
    return {
        "always cheap": always(same, "cheap", utility),
        "always reasoning": always(same, "reasoning", utility),
        "random mix, same cost": mix(same, CHEAP_AND_DEAR, cost_usd, utility),
    }


def _bars(
    runs: Mapping[str, Sequence[Sample]],
    outcomes: Mapping[int, Mapping[str, tuple[float, float]]],
    utility: Utility,
) -> Table:
    table = Table(title="The second half, on the same prompts", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("", "quality", "m$/req", "reward"):
        table.add_column(name, justify="left" if not name else "right")
    halves = {name: samples[len(samples) // 2 :] for name, samples in runs.items()}
    rows = {f"adaptive-router, {name}": score(half, utility) for name, half in halves.items()}
    cost_usd = rows[f"adaptive-router, {COLD}"].cost_usd
    rows |= baselines(halves[COLD], outcomes, utility, cost_usd)
    for name, row in rows.items():
        table.add_row(
            name, f"{row.quality:.3f}", f"{row.cost_usd * 1_000:.3f}", f"{row.reward:+.3f}"
        )
    return table
