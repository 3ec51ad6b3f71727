"""Options of `calibrate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from router.tools.calibrate.analysis.goal import Goal
from router.tools.publishing import SnapshotTarget


@dataclass(frozen=True, slots=True)
class CalibrateOptions:
    """Options of the command. verifier, judge: "" for none. count, interval: see `Goal`."""

    prompts: Path
    journal: Path
    budget_usd: float
    concurrency: int = 8
    match: str = "auto"
    verifier: str = ""
    judge: str = ""
    max_output_tokens: int | None = None
    ask_again: bool = False
    replace: bool = False
    out: Path | None = None
    report: Path | None = None
    count: int | None = None
    interval: float | None = None

    @property
    def target(self) -> SnapshotTarget:
        return SnapshotTarget(self.out, self.replace)

    @property
    def goal(self) -> Goal:
        return Goal(self.count, self.interval)
