"""Tables as Markdown, runs as CSV, and the files they are written to."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bandit.frontier import Interval
from bench.lab.figures import Figures, RunScore, StreamComparison, VariantSummary
from bench.lab.jobs import Job
from bench.lab.recorded import BenchError

RUN_COLUMNS = (
    "quality",
    "cost_usd",
    "reward",
    "gain",
    "above_hull",
    "gain_half",
    "above_hull_half",
)


def document(title: str, note: str, terms: str, sections: Iterable[Sequence[str]]) -> str:
    """Returns a page whose sections are lists of lines; terms: "" for none."""
    blocks = [[f"# {title}"], [note], *([[terms]] if terms else []), *sections]
    return "\n".join(line for block in blocks for line in (*block, ""))


def table(
    header: Sequence[str], rows: Iterable[Iterable[str]], *, numeric: bool = False
) -> list[str]:
    """Returns lines of a table; numeric: every column but the first is aligned to the right."""
    rule = ["---", *(["---:" if numeric else "---"] * (len(header) - 1))]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]


def section(found: StreamComparison, unit_usd: float, more: str, lines: Sequence[str]) -> list[str]:
    """Returns a comparison's lines with its arms before them; more: appended to the arms."""
    arms = "; ".join(f"{name} {point(arm)}" for name, arm in found.arms.items())
    size = f"{found.requests} requests, {found.seeds} seeds"
    title = f"## {found.stream}, λ = {found.cost_weight:g}"
    return [title, "", f"{size}, one unit of cost is {unit_usd:.4g} USD. {arms}{more}", "", *lines]


def gain_cells(row: VariantSummary, *, several: bool) -> list[str]:
    intervals = (row.gain, row.gain_half, row.above_hull, row.above_hull_half)
    return [*(signed(one, several=several) for one in intervals), f"{row.worst:+.4f}"]


def signed(interval: Interval, *, several: bool) -> str:
    """Leave the interval out where there were not several seeds."""
    mean = f"{interval.mean:+.4f}"
    return f"{mean} [{interval.low:+.4f}, {interval.high:+.4f}]" if several else mean


def point(score: RunScore) -> str:
    return f"{score.quality:.3f} @ {score.cost_usd:.3g} USD"


def runs_csv(
    done: Mapping[Job, Figures], variant: str, measures: Sequence[str], times: Sequence[str]
) -> str:
    """Returns a line per run; shares as plan=share, joined by spaces.

    variant, measures, times: names of columns, the latter for the first ones of `Figures.us`.
    """
    before = ("stream", "cost_weight", variant, "seed", "requests")
    columns = (*before, *RUN_COLUMNS, *measures, *times, "shares")
    return csv_text(columns, (_run(job, found, measures, times) for job, found in done.items()))


def _run(
    job: Job, found: Figures, measures: Sequence[str], times: Sequence[str]
) -> Sequence[object]:
    whole, half = found.whole, found.half
    known = [found.measures.get(name) for name in measures]
    return (
        *(job.stream, job.cost_weight, job.variant.name, job.seed, found.requests),
        *(whole.quality, whole.cost_usd, whole.reward, whole.gain, whole.above_hull),
        *(half.gain, half.above_hull),
        *("" if value is None else value for value in known),
        *(f"{us:.1f}" for us in found.us[: len(times)]),
        " ".join(f"{plan}={share:.4f}" for plan, share in found.shares.items()),
    )


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def write(out: Path, files: Mapping[str, str]) -> None:
    """Write texts by file name. Raises BenchError when the folder cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError:
        raise BenchError(f"{out} cannot be written; choose another --out") from None
