"""The tables as Markdown, and every run as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from bench.routing.figures import Figures
from bench.routing.jobs import Job
from bench.routing.summary import Row, Table
from bench.tables import line, point, signed

NOTE = (
    "Reward: quality less λ · cost / unit. *Gain*: mean reward minus that of the best fixed arm in "
    "hindsight, on the whole stream and on its second half. *Above hull*: mean quality minus that "
    "of the best random mix of fixed arms at the same mean cost. *Worst*: the least gain of a "
    "seed. *Versus first*: reward minus that of the table's first policy, seed by seed. In "
    "brackets: 95 % bootstrap intervals over the seeds. APGR and CPT are of the second half, in %, "
    "with the estimated difference in quality as score, or the probability where a policy is told."
)


def markdown(
    tables: Sequence[Table],
    units_usd: Mapping[str, float],
    origins: Mapping[str, str],
    terms: str,
) -> str:
    """origins: by stream, where its map and priors come from."""
    parts = ["# Routing on recorded outcomes", "", NOTE, ""]
    if terms:
        parts += [terms, ""]
    for table in tables:
        parts += [*_section(table, units_usd[table.stream], origins[table.stream]), ""]
    return "\n".join(parts)


def _section(table: Table, unit_usd: float, origin: str) -> Iterator[str]:
    yield f"## {table.stream}, λ = {table.cost_weight:g}"
    yield ""
    yield (
        f"{table.requests} requests, {table.seeds} seeds, one unit of cost is {unit_usd:.4g} USD. "
        + "; ".join(f"{name} {point(arm)}" for name, arm in table.arms.items())
        + f"; oracle {point(table.oracle)}. {origin}"
    )
    yield ""
    two = any(row.recovered for row in table.rows)
    shares = " / ".join(table.arms)
    header = ["policy", "gain", "second half", "above hull", "second half", "worst"]
    header += ["versus first", f"share of {shares}"]
    header += ["APGR", "CPT50", "CPT80"] if two else []
    header += ["µs decide", "µs learn"]
    yield line(header)
    yield line(["---", *["---:"] * (len(header) - 1)])
    for row in table.rows:
        yield line(_cells(row, several=table.seeds > 1, two=two))


def _cells(row: Row, *, several: bool, two: bool) -> list[str]:
    intervals = (row.gain, row.gain_half, row.above_hull, row.above_hull_half)
    cells = [row.name, *(signed(i, several=several) for i in intervals), f"{row.worst:+.4f}"]
    cells.append(signed(row.versus, several=several) if row.versus else "")
    cells.append(" / ".join(f"{share:.0%}" for share in row.shares.tolist()))
    if two:
        r = row.recovered
        cells += [f"{100 * v:.1f}" for v in (r.apgr, r.cpt50, r.cpt80)] if r else [""] * 3
    return [*cells, f"{row.us[0]:.0f}", f"{row.us[2]:.0f}"]


COLUMNS = (
    *("stream", "cost_weight", "policy", "seed", "requests", "quality", "cost_usd", "reward"),
    *("gain", "above_hull", "gain_half", "above_hull_half", "apgr", "cpt50", "cpt80"),
    *("decide_us", "call_us", "learn_us", "shares"),
)


def runs_csv(done: Mapping[Job, Figures], arms: Mapping[str, Sequence[str]]) -> str:
    """A line per run; shares as arm=share, joined by spaces."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for job, found in done.items():
        whole, half, recovered = found.whole, found.half, found.recovered
        pairs = zip(arms[job.stream], found.shares.tolist(), strict=True)
        writer.writerow(
            [
                *(job.stream, job.cost_weight, job.variant.name, job.seed, found.requests),
                *(whole.quality, whole.cost_usd, whole.reward, whole.gain, whole.above_hull),
                *(half.gain, half.above_hull),
                *((recovered.apgr, recovered.cpt50, recovered.cpt80) if recovered else [""] * 3),
                *(f"{us:.1f}" for us in found.us),
                " ".join(f"{arm}={share:.4f}" for arm, share in pairs),
            ]
        )
    return buffer.getvalue()
