"""The status of a promise, from its evidence, and the labels it still needs."""

from __future__ import annotations

import math
from typing import Final

from bandit.risk.betting import RiskBets, bad_interval
from bandit.risk.evidence import NONE, ThresholdEvidence
from bandit.risk.types import PromiseSettings, PromiseStatus

_HALTED: Final = "a bad answer was accepted: waiting for some good ones"
_MOST_LOG: Final = math.log(1e12)
MOST_LABELS: Final = 1_000_000
_MADE_UP: Final = 20.0
"""Labels with half the promised risk, made up to steady an estimate from few."""


def least_labels(settings: PromiseSettings) -> int:
    """Return how many labels, none bad, one threshold needs before it can be certified.

    Somewhat more than log(1/(1-confidence)) / -log(1-max_bad), the fewest for any test of a
    single threshold; the warm-up comes on top. With fewer the promise is surely vacuous.

    >>> least_labels(PromiseSettings(max_bad=0.05, confidence=0.95))
    74
    """
    wanted = -math.log1p(-settings.confidence)
    return _more_labels(RiskBets(settings.max_bad), (0.0, 0.0), 0.0, wanted) or MOST_LABELS


def describe(
    evidence: ThresholdEvidence,
    settings: PromiseSettings,
    *,
    warm_up_left: int,
    epoch: int,
    halted: bool,
) -> PromiseStatus:
    """Describe a promise; takes some milliseconds."""
    at, following = evidence.at, evidence.next()
    shown = at if at != NONE else following or 0
    total, bad = evidence.sums[shown].tolist()
    needed = None if following is None else _needed(evidence, settings, following)
    if needed is not None:
        needed += warm_up_left
    why = _HALTED if halted else ""
    if at == NONE:
        why = _why(evidence, settings, warm_up_left, epoch)
    return PromiseStatus(
        threshold=None if at == NONE else float(evidence.grid[at]),
        share=0.0 if at == NONE or not evidence.total else total / evidence.total,
        next_threshold=None if following is None else float(evidence.grid[following]),
        evidence=1.0 if following is None else _exp(evidence.wealth[following]),
        evidence_wanted=1.0 if following is None else _exp(evidence.wanted()[following]),
        labels=evidence.labels,
        labels_needed=needed,
        bad_share=bad / total if total > 0 else None,
        bad_interval=bad_interval(total, bad, settings.confidence),
        epoch=epoch,
        halted=halted,
        vacuous=at == NONE,
        why=why,
    )


def _needed(evidence: ThresholdEvidence, settings: PromiseSettings, index: int) -> int | None:
    """Estimate how many labels are needed: those at or above the threshold over their share."""
    sums = _sums(evidence, index)
    risk = _likely_risk(sums, settings.max_bad)
    if risk >= settings.max_bad:
        return None
    wanted = float(evidence.wanted()[index])
    more = _more_labels(evidence.bets, sums, risk, wanted)
    return None if more is None else math.ceil(more / _share(evidence, index))


def _why(
    evidence: ThresholdEvidence, settings: PromiseSettings, warm_up_left: int, epoch: int
) -> str:
    """Say what stands in the way while nothing is certified."""
    index = evidence.next()
    ahead = "withdrawn after too many bad answers; " if epoch > 1 else ""
    if warm_up_left:
        ahead += f"the next {warm_up_left} labels only say where to begin; "
    if evidence.outdated:
        return ahead + "the recent labels speak against what all of them prove"
    best = None if index is None else _at_best(evidence, index)
    if index is None or best is None:
        return ahead + "no likely number of labels would certify anything: raise max_bad"
    if _needed(evidence, settings, index) is None:
        return ahead + _too_bad(evidence, settings, index)
    return ahead + f"even if none is bad, about {best} more labels are needed"


def _too_bad(evidence: ThresholdEvidence, settings: PromiseSettings, index: int) -> str:
    total, bad = _sums(evidence, index)
    return (
        f"of the labelled answers with a score of at least {evidence.grid[index]:.4g} a share of "
        f"{bad / max(total, 1e-9):.3f} was bad, where {settings.max_bad:g} is promised: raise "
        "max_bad, or give the gate better signals"
    )


def _at_best(evidence: ThresholdEvidence, index: int) -> int | None:
    wanted = float(evidence.wanted()[index])
    more = _more_labels(evidence.bets, _sums(evidence, index), 0.0, wanted)
    return None if more is None else math.ceil(more / _share(evidence, index))


def _share(evidence: ThresholdEvidence, index: int) -> float:
    """Return the share of labels at or above a threshold, steadied by one made-up label."""
    return float((evidence.sums[index, 0] + 1) / (evidence.total + 1))


def _sums(evidence: ThresholdEvidence, index: int) -> tuple[float, float]:
    total, bad = evidence.sums[index].tolist()
    return total, bad


def _exp(logarithm: float) -> float:
    return math.exp(min(logarithm, _MOST_LOG))


def _likely_risk(sums: tuple[float, float], max_bad: float) -> float:
    """Return the share of bad labels of a threshold, steadied; sums: of all, of bad ones."""
    return (sums[1] + 0.5 * max_bad * _MADE_UP) / (sums[0] + _MADE_UP)


def _more_labels(
    bets: RiskBets, sums: tuple[float, float], risk: float, wanted: float
) -> int | None:
    """Count labels until the log wealth is wanted, if they turn out bad with this risk.

    Searched by doubling, then halving; None: not within a million.
    """

    def enough(more: int) -> bool:
        return bets.log_wealth_of(sums[0] + more, sums[1] + risk * more) >= wanted

    high = 1
    while not enough(high):
        if high > MOST_LABELS:
            return None
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
