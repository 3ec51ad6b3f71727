"""The tables as Markdown, and every run as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from bench.cascade.figures import BAD_BELOW, Figures
from bench.cascade.jobs import Job
from bench.cascade.summary import Row, Table
from bench.tables import line, point, signed

NOTE = (
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
HEADER = (
    *("variant", "gain", "second half", "above hull", "second half", "worst", "escalated"),
    *("asked", "cheap served", "bad (worst seed)", "audits", "shares", "µs decide", "µs gate"),
    "µs learn",
)
LEAST_SHARE = 0.005


def markdown(tables: Sequence[Table], units_usd: Mapping[str, float], terms: str) -> str:
    parts = ["# Plans with a gate on recorded answers", "", NOTE, ""]
    if terms:
        parts += [terms, ""]
    for table in tables:
        parts += [*_section(table, units_usd[table.stream]), ""]
    return "\n".join(parts)


def _section(table: Table, unit_usd: float) -> Iterator[str]:
    yield f"## {table.stream}, λ = {table.cost_weight:g}"
    yield ""
    yield (
        f"{table.requests} requests, {table.seeds} seeds, one unit of cost is {unit_usd:.4g} USD. "
        + "; ".join(f"{name} {point(arm)}" for name, arm in table.arms.items())
        + f". Plans: {'; '.join(table.plans)}."
    )
    yield ""
    yield line(HEADER)
    yield line(["---", *["---:"] * (len(HEADER) - 1)])
    for row in table.rows:
        yield line(_cells(row, several=table.seeds > 1))


def _cells(row: Row, *, several: bool) -> list[str]:
    intervals = (row.gain, row.gain_half, row.above_hull, row.above_hull_half)
    bad = "" if row.bad is None else f"{row.bad:.1%} ({row.worst_bad:.1%})"
    audits = f"{row.audited:.1%}, {-row.audit:+.4f}" if row.audited else ""
    shares = sorted(row.shares.items(), key=lambda pair: -pair[1])
    return [
        row.name,
        *(signed(i, several=several) for i in intervals),
        f"{row.worst:+.4f}",
        *(f"{share:.0%}" for share in (row.escalated, row.asked, row.kept)),
        *(bad, audits),
        ", ".join(f"{name} {share:.0%}" for name, share in shares if share >= LEAST_SHARE),
        *(f"{row.us[i]:.0f}" if any(row.us) else "" for i in (0, 3, 2)),
    ]


COLUMNS = (
    *("stream", "cost_weight", "variant", "seed", "requests", "quality", "cost_usd", "reward"),
    *("gain", "above_hull", "gain_half", "above_hull_half", "escalated", "asked", "cheap_served"),
    *("bad", "audited", "audit_cost", "decide_us", "call_us", "learn_us", "gate_us", "shares"),
)


def runs_csv(done: Mapping[Job, Figures]) -> str:
    """A line per run; shares as plan=share, joined by spaces."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for job, found in done.items():
        whole, half = found.whole, found.half
        writer.writerow(
            [
                *(job.stream, job.cost_weight, job.variant.name, job.seed, found.requests),
                *(whole.quality, whole.cost_usd, whole.reward, whole.gain, whole.above_hull),
                *(half.gain, half.above_hull, found.escalated, found.asked, found.kept),
                "" if found.bad is None else found.bad,
                *(found.audited, found.audit, *(f"{us:.1f}" for us in found.us)),
                " ".join(f"{plan}={share:.4f}" for plan, share in found.shares.items()),
            ]
        )
    return buffer.getvalue()
