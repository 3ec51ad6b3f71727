"""The report: sections of sentences and tables, independent of a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bandit.frontier import Interval
from router.tools.calibrate.analysis.advice import Advice
from router.tools.calibrate.analysis.cross_validation import FOLDS, CostWeightResult
from router.tools.calibrate.analysis.frontier import COST, QUALITY, FrontierRow
from router.tools.calibrate.analysis.regions import PromptRegion


@dataclass(frozen=True, slots=True)
class ReportSection:
    """rows: texts, one for each of `columns`. code: YAML. Either may be empty."""

    title: str
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    code: str = ""


@dataclass(frozen=True, slots=True)
class CollectionSummary:
    """Totals of prompts and money. missing, unscored: counts by "arm: why"."""

    prompts: int
    complete: int
    answers: int
    spent_usd: float
    budget_usd: float
    doubtful_usd: float
    beyond_usd: float = 0.0
    missing: Mapping[str, int] = field(default_factory=dict)
    unscored: Mapping[str, int] = field(default_factory=dict)


def collection_section(summary: CollectionSummary) -> ReportSection:
    a = summary
    notes = [
        f"{a.answers} answers to {a.prompts} prompts",
        f"{a.complete} prompts are complete: every arm answered, every answer has a score",
        f"${a.spent_usd:.4f} of ${a.budget_usd:.2f} spent",
    ]
    if a.doubtful_usd:
        notes.append(
            f"of these ${a.doubtful_usd:.4f} are the most that calls in doubt can have cost: "
            "they were under way when a run ended; --ask-again makes them again"
        )
    if a.beyond_usd:
        notes.append(
            f"${a.beyond_usd:.4f} were charged beyond the calls' upper bounds, so nothing more was "
            "sent: correct the deployment's price, or raise its max_output_tokens to what hidden "
            "reasoning may take, and run the same command again"
        )
    notes += [f"left out: {what} ({count})" for what, count in sorted(a.missing.items())]
    notes += [f"not scored: {what} ({count})" for what, count in sorted(a.unscored.items())]
    return ReportSection("What was asked", tuple(notes))


def frontier_section(
    rows: Sequence[FrontierRow], gap: Interval | None, hull: Sequence[str]
) -> ReportSection:
    """Returns the table; gap: the policy's quality over the hull, None without a policy."""
    notes = [
        "95 % bootstrap intervals over the prompts",
        f"best random mixes (the hull) are made of: {', '.join(hull)}",
        "saves: against the cheapest mix of arms of the same quality",
    ]
    if gap:
        notes.append(f"the policy is judged on prompts it was not trained on ({FOLDS}-fold)")
        notes.append(f"the policy's quality over the hull at its own cost: {_signed(gap)}")
    columns = ("", "quality", "m$/request", "reward", "quality - best arm", "cost", "saves")
    cells = tuple(
        (
            f"{line.kind} {line.name}",
            _plain(line.quality),
            _plain(line.cost_usd, 1_000),
            _signed(line.reward),
            _signed(line.over_best),
            _percent(line.dearer),
            _share(line.saved),
        )
        for line in rows
    )
    return ReportSection("The frontier on these prompts", tuple(notes), columns, cells)


def weights_section(tried: Sequence[CostWeightResult], equal: str) -> ReportSection:
    """Returns the table; equal: the policy's cost at the quality of the best and dearest arm."""
    columns = ("cost weight", "quality", "m$/request", *tried[0].shares)
    rows = [_weight_row(t, " (configured)" if i == 0 else "") for i, t in enumerate(tried)]
    note = "the policy at other cost weights, cross-validated, with the share of each plan"
    return ReportSection("What a cost weight buys", (note, equal), columns, tuple(rows))


def _weight_row(tried: CostWeightResult, mark: str) -> tuple[str, ...]:
    quality, cost_usd = tried.means[[QUALITY, COST]].tolist()
    shares = (f"{share:.0%}" for share in tried.shares.values())
    return (f"{tried.cost_weight:g}{mark}", f"{quality:.3f}", f"{cost_usd * 1_000:.4f}", *shares)


def map_section(regions: Sequence[PromptRegion], arms: Sequence[str]) -> ReportSection:
    columns = ("share", "prompts", "best arm", *arms, "terms", "typical prompt")
    rows = tuple(
        (
            f"{r.share:.0%}",
            str(r.prompts),
            r.best,
            *(f"{r.qualities[arm]:.2f}" for arm in arms),
            ", ".join(r.terms),
            r.head,
        )
        for r in regions
    )
    return ReportSection("The map", ("mean quality of each arm by kind of prompt",), columns, rows)


def advice_section(advice: Advice) -> ReportSection:
    notes = (
        advice.verdict,
        "merge this into the config (`check-config` says whether it fits)",
    )
    return ReportSection("Recommended config", notes, code=advice.snippet)


def markdown(sections: Sequence[ReportSection]) -> str:
    return "\n".join(["# Calibration", "", *(_markdown(s) for s in sections)])


def _markdown(section: ReportSection) -> str:
    parts = [f"## {section.title}", "", *(f"- {_cell(note)}" for note in section.notes), ""]
    if section.rows:
        parts += [_md_row(section.columns), _md_row(["---"] * len(section.columns))]
        parts += [*(_md_row(row) for row in section.rows), ""]
    if section.code:
        parts += ["```yaml", section.code.rstrip(), "```", ""]
    return "\n".join(parts)


def _md_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """Escape marks of a prompt, which must not end the cell or become HTML."""
    for mark in ("\\", "|", "<", "`", "*", "_", "]("):
        text = text.replace(mark, f"\\{mark}")
    return text


def _plain(interval: Interval, factor: float = 1.0) -> str:
    low, high = interval.low * factor, interval.high * factor
    return f"{interval.mean * factor:.3f} [{low:.3f}, {high:.3f}]"


def _signed(interval: Interval) -> str:
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def _share(interval: Interval) -> str:
    return f"{interval.mean:+.0%} [{interval.low:+.0%}, {interval.high:+.0%}]"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.0%}"
