"""Marks that a way to choose should reach in the cells of the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.experiments.conversations.runs import BELIEFS, Scores
from bench.lab.report import table

WORTH: Final = 0.010
"""Gain of an oracle from which on there is something to be had."""
LEAST_SHARE: Final = 0.7
LEAST_GAIN: Final = -0.004
"""Least gain where an oracle has less than that."""
LEAST_ABOVE_RULE: Final = -0.002
MEAN_ABOVE_RULE: Final = 0.004
AIMED_SHARE: Final = 0.9
AIMED_WORST: Final = -0.01
HEADER: Final = ("cell", "oracle", "gain", "share", "worst seed", "rule", "above it", "reached")


@dataclass(frozen=True, slots=True)
class Mark:
    """Mean gains in one cell. oracle: the better of T = 1 and T = 3; worst: of all seeds."""

    cell: str
    oracle: float
    gain: float
    worst: float
    rule: float

    @property
    def share(self) -> float | None:
        """Returns the part of the oracle's gain; None where that is too small to tell."""
        return self.gain / self.oracle if self.oracle >= WORTH else None

    @property
    def above_rule(self) -> float:
        return self.gain - self.rule

    @property
    def is_enough(self) -> bool:
        share = self.share
        return self.gain >= LEAST_GAIN if share is None else share >= LEAST_SHARE

    @property
    def is_beside_rule(self) -> bool:
        return self.above_rule >= LEAST_ABOVE_RULE


def mark_of(cell: str, runs: Sequence[Scores], name: str) -> Mark:
    """Returns how a way to choose did in a cell. name: one by whose beliefs the rule chose too."""
    oracle = max(_mean(runs, f"oracle, T = {ahead}") for ahead in (1, 3))
    worst = min(run[name].gain for run in runs)
    return Mark(cell, oracle, _mean(runs, name), worst, _mean(runs, rule_of(name)))


def rule_of(name: str) -> str:
    return f"stay or switch, {BELIEFS[name]}"


def _mean(runs: Sequence[Scores], name: str) -> float:
    return float(np.mean([run[name].gain for run in runs]))


def marks_section(name: str, marks: Sequence[Mark]) -> list[str]:
    """Returns a table of the marks of one way to choose, and whether each is reached."""
    rows = [_row(mark) for mark in marks]
    return [f"## Marks: {name}", "", *table(HEADER, rows, numeric=True), "", *_verdicts(marks)]


def _row(mark: Mark) -> list[str]:
    missed = [
        *([] if mark.is_enough else ["gain"]),
        *([] if mark.is_beside_rule else ["rule"]),
    ]
    return [
        mark.cell,
        f"{mark.oracle:+.4f}",
        f"{mark.gain:+.4f}",
        "" if mark.share is None else f"{mark.share:.0%}",
        f"{mark.worst:+.4f}",
        f"{mark.rule:+.4f}",
        f"{mark.above_rule:+.4f}",
        f"MISSED: {', '.join(missed)}" if missed else "yes",
    ]


def _verdicts(marks: Sequence[Mark]) -> list[str]:
    worth = [mark.share for mark in marks if mark.share is not None]
    rest = [mark.gain for mark in marks if mark.share is None]
    above = [mark.above_rule for mark in marks]
    told = [
        _all(
            f"at least {LEAST_SHARE:.0%} of an oracle's gain of {WORTH:g} or more",
            worth,
            LEAST_SHARE,
        ),
        _all(f"at least {LEAST_GAIN:+g} elsewhere", rest, LEAST_GAIN),
        _all(f"at least {LEAST_ABOVE_RULE:+g} beside the rule", above, LEAST_ABOVE_RULE),
        _one(f"at least {MEAN_ABOVE_RULE:+g} above the rule on the mean", above),
        _all(f"aim: at least {AIMED_SHARE:.0%} of it", worth, AIMED_SHARE),
        _all(f"aim: no seed below {AIMED_WORST:+g}", [mark.worst for mark in marks], AIMED_WORST),
    ]
    return [f"- {line}" for line in told]


def _all(what: str, values: Sequence[float], least: float) -> str:
    kept = sum(value >= least for value in values)
    lowest = f", the lowest {min(values):+.3g}" if values else ""
    return f"{_said(kept == len(values))}: {what}: {kept} of {len(values)} cells{lowest}"


def _one(what: str, values: Sequence[float]) -> str:
    mean = float(np.mean(values))
    return f"{_said(mean >= MEAN_ABOVE_RULE)}: {what}: {mean:+.4f}"


def _said(reached: bool) -> str:  # noqa: FBT001 - a word for it
    return "reached" if reached else "MISSED"
