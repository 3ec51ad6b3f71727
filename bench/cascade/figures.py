"""What one run is worth: against the best single arm and the best random mix, in hindsight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.frontier import hull_quality
from bandit.types import Vector
from bench.cascade.plans import PlanSpec
from bench.cascade.replay import Ran
from bench.routing.figures import BLOCKS, Outcomes, Part

BAD_BELOW: Final = 0.5
"""A served answer of a lower quality counts as bad."""


@dataclass(frozen=True, slots=True)
class Took:
    """What was done on each request, (n,) each; served_usd: audits not counted.

    climbed: the strong arm of a plan was called. kept: a plan served an answer of its cheap ones.
    taken: name of the plan or arm. us: as of `Ran`, zeros where nothing was replayed.
    """

    quality: Vector
    served_usd: Vector
    audit_usd: Vector
    climbed: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    audited: NDArray[np.bool_]
    taken: tuple[str, ...]
    us: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    @property
    def cost_usd(self) -> Vector:
        """Audits are charged."""
        cost_usd: Vector = self.served_usd + self.audit_usd
        return cost_usd


@dataclass(frozen=True, slots=True)
class Figures:
    """escalated, asked, kept, audited: shares of requests. audit: reward lost to audits.

    bad: of the cheap answers that plans served, the share that was bad; None where none was.
    advantage: mean reward minus the best single arm's, in pieces of the stream in order. shares:
    of requests, by plan or arm.
    """

    requests: int
    whole: Part
    half: Part
    escalated: float
    asked: float
    kept: float
    bad: float | None
    audited: float
    audit: float
    shares: dict[str, float]
    arms: tuple[Part, ...]
    advantage: Vector
    us: tuple[float, float, float, float]


def took(known: Outcomes, ran: Ran, specs: dict[str, PlanSpec], names: list[str]) -> Took:
    """names: of plans and arms in the order that `ran.plan` counts in."""
    taken = tuple(names[i] for i in ran.plan.tolist())
    ladder = np.array([name in specs for name in taken])
    return Took(
        quality=known.quality[np.arange(len(taken)), ran.arm],
        served_usd=ran.cost_usd,
        audit_usd=ran.audit_usd,
        climbed=ran.climbed,
        asked=ran.asked,
        kept=ladder & ~ran.climbed,
        audited=ran.audited,
        taken=taken,
        us=ran.us,
    )


def single(known: Outcomes, arm: int, name: str) -> Took:
    n = len(known.quality)
    nowhere = np.zeros(n, dtype=bool)
    return Took(
        known.quality[:, arm],
        known.cost_usd[:, arm],
        np.zeros(n),
        *(nowhere, nowhere, nowhere, nowhere),
        taken=(name,) * n,
    )


def perfect(known: Outcomes, first: int, strong: int, name: str) -> Took:
    """The first answer is accepted exactly where it is right."""
    right = known.quality[:, first] >= BAD_BELOW
    nowhere = np.zeros(len(right), dtype=bool)
    above_usd = np.where(right, 0.0, known.cost_usd[:, strong])
    return Took(
        np.where(right, known.quality[:, first], known.quality[:, strong]),
        known.cost_usd[:, first] + above_usd,
        np.zeros(len(right)),
        *(~right, nowhere, right, nowhere),
        taken=(name,) * len(right),
    )


def figures(known: Outcomes, took: Took, rate: float) -> Figures:
    """rate: reward lost per USD."""
    n = len(took.quality)
    half = slice(n // 2, None)
    reward = took.quality - rate * took.cost_usd
    best = int(known.reward.mean(axis=0).argmax())
    pieces = np.array_split(reward - known.reward[:, best], min(BLOCKS, n))
    kept = took.quality[took.kept]
    return Figures(
        requests=n,
        whole=_part(known, took, slice(None), rate),
        half=_part(known, took, half, rate),
        escalated=float(took.climbed.mean()),
        asked=float(took.asked.mean()),
        kept=float(took.kept.mean()),
        bad=float((kept < BAD_BELOW).mean()) if len(kept) else None,
        audited=float(took.audited.mean()),
        audit=rate * float(took.audit_usd.mean()),
        shares={name: took.taken.count(name) / n for name in dict.fromkeys(took.taken)},
        arms=tuple(
            _part(known, single(known, arm, ""), slice(None), rate)
            for arm in range(known.quality.shape[1])
        ),
        advantage=np.array([piece.mean() for piece in pieces]),
        us=took.us,
    )


def _part(every: Outcomes, took: Took, rows: slice, rate: float) -> Part:
    known, quality, cost_usd = every.part(rows), took.quality[rows], took.cost_usd[rows]
    reward = float((quality - rate * cost_usd).mean())
    means_usd, qualities = known.cost_usd.mean(axis=0), known.quality.mean(axis=0)
    mean, mean_usd = float(quality.mean()), float(cost_usd.mean())
    return Part(
        quality=mean,
        cost_usd=mean_usd,
        reward=reward,
        gain=reward - float(known.reward.mean(axis=0).max()),
        above_hull=mean - float(hull_quality(means_usd, qualities, mean_usd)),
    )
