"""Settings of a promise, and its status."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bandit.errors import BadSettings
from bandit.settings import bounded, check_bounds

MAX_GRID = 200
MAX_WARM_UP = 10_000


class LabelSource(StrEnum):
    """The origin of a label."""

    CALIBRATION = "calibration"
    """Every answer of a set was labelled."""
    AUDIT = "audit"
    """Drawn at random, with a known probability."""
    FEEDBACK = "feedback"
    """Told by those who cared to: nobody knows how they differ from the silent ones."""


@dataclass(frozen=True, slots=True)
class PromiseSettings:
    """The promise, and what counts as evidence for it.

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

    max_bad: float = bounded(0.05, 1e-4, 0.5)
    confidence: float = bounded(0.95, 0.5, 1 - 1e-9)
    grid: int | tuple[float, ...] = 14
    warm_up: int = bounded(20, 0, MAX_WARM_UP)
    evidence: frozenset[LabelSource] = frozenset({LabelSource.CALIBRATION, LabelSource.AUDIT})
    guarded_by: frozenset[LabelSource] = frozenset({LabelSource.CALIBRATION, LabelSource.AUDIT})
    labels_between_alarms: float = bounded(500.0, 10, 1e9)

    def __post_init__(self) -> None:
        check_bounds(self)
        if not self.evidence:
            raise BadSettings("evidence must name a source of labels, for example audit")
        self._check_grid()

    def _check_grid(self) -> None:
        if isinstance(self.grid, int):
            if not 2 <= self.grid <= MAX_GRID:  # noqa: PLR2004 - one threshold leads nowhere
                raise BadSettings(f"grid must be in [2, {MAX_GRID}]")
            return
        falling = all(a > b for a, b in zip(self.grid, self.grid[1:], strict=False))
        within = all(0 <= threshold <= 1 for threshold in self.grid)
        if not (1 <= len(self.grid) <= MAX_GRID and falling and within):
            raise BadSettings(
                f"grid must hold 1 to {MAX_GRID} thresholds in [0, 1], the highest first"
            )


@dataclass(frozen=True, slots=True)
class PromiseStatus:
    """The state of a promise.

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
