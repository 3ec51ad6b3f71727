"""What calibration found as one JSON document, and the section of the report on its certificate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bandit.frontier import LEVEL, Interval
from router.tools.calibrate.analysis.advice import Advice
from router.tools.calibrate.analysis.certificate import (
    HALF_WIDTHS,
    Certificate,
    PromiseCertificate,
    RewardGap,
)
from router.tools.calibrate.analysis.goal import GoalOutcome
from router.tools.calibrate.report import CollectionSummary, ReportSection


def certificate_section(found: Certificate, outcome: GoalOutcome | None) -> ReportSection:
    """Returns what these prompts certify, and how many narrower intervals would take."""
    widths = _widths(outcome)
    columns = ("", "difference", "±", "certified", *(f"prompts for ±{width:g}" for width in widths))
    rows = tuple(
        (
            f"{one.what} - always {one.against}",
            f"{one.precision.mean:+.4f}",
            f"{one.precision.half_width():.4f}",
            one.certified or "nothing",
            *(str(one.precision.needed(width)) for width in widths),
        )
        for one in (found.gain, *found.others)
    )
    return ReportSection("What these prompts certify", tuple(_notes(found, outcome)), columns, rows)


def _widths(outcome: GoalOutcome | None) -> list[float]:
    wanted = {outcome.wanted} if outcome else set[float]()
    return sorted({*HALF_WIDTHS, *wanted}, reverse=True)


def _notes(found: Certificate, outcome: GoalOutcome | None) -> Iterator[str]:
    gain = found.gain.precision
    half = gain.half_width()
    yield (
        f"the policy's reward minus that of always {found.gain.against} is known to ±{half:.4f} "
        f"({LEVEL:.0%}) by these {gain.prompts} prompts: a difference below {half:.4f} can't be "
        "certified with them"
    )
    yield (
        f"they stand for {gain.file} prompts of {found.clusters} clusters, which weigh by their "
        "shares of the file"
    )
    if outcome:
        yield outcome.text
    yield from map(_promise_text, found.promises)


def _promise_text(found: PromiseCertificate) -> str:
    settings, wide = found.settings, f"[{found.low:.3f}, {found.high:.3f}]"
    name = f"the promise of {found.name}, at most {settings.max_bad:g} bad"
    told = f"{name}: {found.labels} labels, a bad share of {wide}, ±{found.half_width:.3f}"
    state = (
        f"certified for {found.share:.0%} of the answers" if found.certified else "not certified"
    )
    more = f"about {found.more} more labels certify more" if found.more else ""
    least = (
        f"with so many labels nothing below {found.provable:.3f} could be, were none bad"
        if found.provable
        else f"no promise is before {found.least} labels"
    )
    return "; ".join(part for part in (f"{told}; {state}", found.why, more, least) if part)


def document(
    summary: CollectionSummary,
    found: Certificate | None,
    advice: Advice | None,
    outcome: GoalOutcome | None,
    published: str,
) -> dict[str, Any]:
    """Returns what `calibrate --json` prints. published: what became of the snapshot."""
    return {
        "prompts": summary.prompts,
        "complete": summary.complete,
        "answers": summary.answers,
        "spent_usd": summary.spent_usd,
        "budget_usd": summary.budget_usd,
        "doubtful_usd": summary.doubtful_usd,
        "left_out": dict(summary.missing),
        "not_scored": dict(summary.unscored),
        "confidence": LEVEL,
        "certificate": _certificate(found, outcome) if found else None,
        "interval": _outcome(outcome) if outcome else None,
        "advice": _advice(advice) if advice else None,
        "snapshot": published,
    }


def _certificate(found: Certificate, outcome: GoalOutcome | None) -> dict[str, Any]:
    gain, widths = found.gain.precision, _widths(outcome)
    return {
        "prompts": gain.prompts,
        "file_prompts": gain.file,
        "clusters": found.clusters,
        "half_width": gain.half_width(),
        "gain": _comparison(found.gain, widths),
        "others": [_comparison(each, widths) for each in found.others],
        "promises": [_promise(each) for each in found.promises],
    }


def _comparison(one: RewardGap, widths: list[float]) -> dict[str, Any]:
    return {
        "what": one.what,
        "against": one.against,
        **_interval(one.precision.interval()),
        "half_width": one.precision.half_width(),
        "certified": one.certified or None,
        "prompts_for": {f"{width:g}": one.precision.needed(width) for width in widths},
    }


def _promise(found: PromiseCertificate) -> dict[str, Any]:
    return {
        "name": found.name,
        "max_bad": found.settings.max_bad,
        "confidence": found.settings.confidence,
        "labels": found.labels,
        "certified": found.certified,
        "share": found.share,
        "low": found.low,
        "high": found.high,
        "half_width": found.half_width,
        "labels_more": found.more,
        "labels_least": found.least,
        "provable_max_bad": found.provable,
        "why": found.why or None,
    }


def _outcome(outcome: GoalOutcome) -> dict[str, Any]:
    return {
        "wanted": outcome.wanted,
        "half_width": outcome.half_width,
        "reached": outcome.reached,
        "prompts": outcome.prompts,
        "prompts_needed": outcome.needed,
        "file_lacks_prompts": outcome.file_lacks,
        "cost_usd": outcome.cost_usd,
        "budget_lacks_usd": outcome.budget_lacks_usd,
    }


def _advice(advice: Advice) -> Mapping[str, Any]:
    return {
        "cost_weight": advice.cost_weight,
        "plans": list(advice.plans),
        "gain": _interval(advice.gain),
        "verdict": advice.verdict,
        "config": advice.snippet,
    }


def _interval(found: Interval) -> dict[str, float]:
    return {"mean": found.mean, "low": found.low, "high": found.high}
