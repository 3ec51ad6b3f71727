"""What a promise is told when it is made, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bandit.errors import BadSettings

MAX_GRID = 200
MAX_WARM_UP = 10_000


class Source(StrEnum):
    """Where a label came from."""

    CALIBRATION = "calibration"
    """Every answer of a set was labelled."""
    AUDIT = "audit"
    """Drawn at random, with a known probability."""
    FEEDBACK = "feedback"
    """Told by those who cared to: nobody knows how they differ from the silent ones."""


@dataclass(frozen=True, slots=True)
class PromiseSettings:
    """What is promised and what counts as evidence for it.

    max_bad:      the share of accepted answers that may turn out bad.
    confidence:   that it stays below, in each epoch.
    grid:         thresholds on the score, or how many: these are then spread evenly over the
                  logarithm of 1 - score, from max_bad / 32 up, with 0 as the last.
    warm_up:      labels whose scores only say where to begin; they are no evidence. 0: begin
                  everywhere at once, which takes stronger evidence.
    evidence:     labels of these sources certify.
    guarded_by:   labels of these sources withdraw. Feedback counted here can only make the guard
                  more eager.
    labels_between_alarms: labels of accepted answers between two withdrawals in vain, at least,
                  on average, were the risk all the time as high as is allowed.
    """

    max_bad: float = 0.05
    confidence: float = 0.95
    grid: int | tuple[float, ...] = 14
    warm_up: int = 20
    evidence: frozenset[Source] = frozenset({Source.CALIBRATION, Source.AUDIT})
    guarded_by: frozenset[Source] = frozenset({Source.CALIBRATION, Source.AUDIT})
    labels_between_alarms: float = 500.0

    def __post_init__(self) -> None:
        _within("max_bad", self.max_bad, 1e-4, 0.5)
        _within("confidence", self.confidence, 0.5, 1 - 1e-9)
        _within("warm_up", self.warm_up, 0, MAX_WARM_UP)
        _within("labels_between_alarms", self.labels_between_alarms, 10, 1e9)
        if not self.evidence:
            raise BadSettings("evidence must name a source of labels, for example audit")
        self._check_grid()

    def _check_grid(self) -> None:
        if isinstance(self.grid, int):
            _within("grid", self.grid, 2, MAX_GRID)
            return
        falling = all(a > b for a, b in zip(self.grid, self.grid[1:], strict=False))
        within = all(0 <= threshold <= 1 for threshold in self.grid)
        if not (1 <= len(self.grid) <= MAX_GRID and falling and within):
            raise BadSettings(
                f"grid must hold 1 to {MAX_GRID} thresholds in [0, 1], the highest first"
            )


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadSettings(f"{name} must be in [{low:g}, {high:g}]")


@dataclass(frozen=True, slots=True)
class PromiseStatus:
    """How far a promise is.

    threshold:      answers with a score at or above it may be accepted; None: none may.
    share:          of the labelled answers of this epoch that reach it; 0 where there is none.
    next_threshold: the one that is looked at next; None when the loosest is certified.
    evidence:       its e-value: what one unit, bet on few bad answers, has grown to.
    evidence_wanted: certified from there on.
    labels:         counted as evidence in this epoch.
    labels_needed:  about how many more until the next threshold is certified, were things to go
                    on as they did; None where they would never do.
    bad_share:      among the labels at or above the certified threshold, or else the next one;
                    None without any.
    bad_interval:   of that risk, at the stated confidence, valid whenever one looks.
    halted:         nothing is accepted until a few more labels came, after a bad answer.
    epoch:          1 at first; one more after each withdrawal.
    vacuous:        nothing is accepted, so that the promise is kept in vain.
    why:            says in a sentence what stands in the way; "" where nothing does.
    """

    threshold: float | None
    share: float
    next_threshold: float | None
    evidence: float
    evidence_wanted: float
    labels: int
    labels_needed: int | None
    bad_share: float | None
    bad_interval: tuple[float, float]
    halted: bool
    epoch: int
    vacuous: bool
    why: str
