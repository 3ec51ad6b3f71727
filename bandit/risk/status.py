"""What a promise says of itself, from its evidence."""

from __future__ import annotations

import math
from typing import Final

from bandit.risk.betting import bad_interval
from bandit.risk.evidence import NONE, Evidence
from bandit.risk.outlook import likely_risk, more_labels
from bandit.risk.types import PromiseSettings, PromiseStatus

_HALTED: Final = "a bad answer was accepted: waiting for some good ones"
_MOST_LOG: Final = math.log(1e12)


def describe(
    evidence: Evidence, settings: PromiseSettings, *, warm_up_left: int, epoch: int, halted: bool
) -> PromiseStatus:
    """Some milliseconds: not for every request."""
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


def _needed(evidence: Evidence, settings: PromiseSettings, index: int) -> int | None:
    """Of all labels: those at or above the threshold over the share that reaches it."""
    sums = _sums(evidence, index)
    risk = likely_risk(sums, settings.max_bad)
    if risk >= settings.max_bad:
        return None
    wanted = float(evidence.wanted()[index])
    more = more_labels(evidence.bets, sums, risk, wanted)
    return None if more is None else math.ceil(more / _share(evidence, index))


def _why(evidence: Evidence, settings: PromiseSettings, warm_up_left: int, epoch: int) -> str:
    """What stands in the way while nothing is certified."""
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


def _too_bad(evidence: Evidence, settings: PromiseSettings, index: int) -> str:
    total, bad = _sums(evidence, index)
    return (
        f"of the labelled answers with a score of at least {evidence.grid[index]:.4g} a share of "
        f"{bad / max(total, 1e-9):.3f} was bad, where {settings.max_bad:g} is promised: raise "
        "max_bad, or give the gate better signals"
    )


def _at_best(evidence: Evidence, index: int) -> int | None:
    wanted = float(evidence.wanted()[index])
    more = more_labels(evidence.bets, _sums(evidence, index), 0.0, wanted)
    return None if more is None else math.ceil(more / _share(evidence, index))


def _share(evidence: Evidence, index: int) -> float:
    """Of the labels, at or above a threshold; steadied by one made-up label that is."""
    return float((evidence.sums[index, 0] + 1) / (evidence.total + 1))


def _sums(evidence: Evidence, index: int) -> tuple[float, float]:
    total, bad = evidence.sums[index].tolist()
    return total, bad


def _exp(logarithm: float) -> float:
    return math.exp(min(logarithm, _MOST_LOG))
