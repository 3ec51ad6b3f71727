"""Figures of runs with plans, and of single arms and a perfect gate, which need no replay."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.lab.figures import Figures, Outcomes, figures
from bench.lab.replay import ReplayRun

BAD_BELOW: Final = 0.5
"""A served answer of a lower quality counts as bad."""
MEASURES: Final = ("escalated", "asked", "cheap_served", "bad", "audited", "audit_cost")
"""Shares of requests, but for `bad`, of cheap answers served, and `audit_cost`, in reward."""


def single_arm(known: Outcomes, arm: int, name: str) -> ReplayRun:
    n = len(known.quality)
    return _unreplayed(name, np.full(n, arm), known.cost_usd[:, arm], np.zeros(n, dtype=bool))


def perfect_gate(known: Outcomes, first: int, strong: int, name: str) -> ReplayRun:
    """Accept the first answer exactly where it is right."""
    right = known.quality[:, first] >= BAD_BELOW
    above_usd = np.where(right, 0.0, known.cost_usd[:, strong])
    arm = np.where(right, first, strong)
    return _unreplayed(name, arm, known.cost_usd[:, first] + above_usd, ~right)


def _unreplayed(
    plan: str,
    arm: NDArray[np.intp],
    cost_usd: NDArray[np.float64],
    escalated: NDArray[np.bool_],
) -> ReplayRun:
    n = len(arm)
    never, nothing = np.zeros(n, dtype=bool), np.zeros(n)
    return ReplayRun(
        plan=(plan,) * n,
        arm=arm.astype(np.int8),
        worth=np.zeros((n, 0), dtype=np.float32),
        cost_usd=cost_usd,
        audit_usd=nothing,
        escalated=escalated,
        asked=never,
        audited=never,
        us=(0.0,) * 4,
    )


def cascade_figures(
    known: Outcomes, run: ReplayRun, gated: Collection[str], rate: float
) -> Figures:
    """Audits are charged; gated: plans with a gate; rate: reward lost per USD."""
    n, cost_usd = len(run.plan), run.cost_usd + run.audit_usd
    quality = known.quality[np.arange(n), run.arm]
    kept = np.array([name in gated for name in run.plan]) & ~run.escalated
    cheap = quality[kept]
    measures = (
        float(run.escalated.mean()),
        float(run.asked.mean()),
        float(kept.mean()),
        float((cheap < BAD_BELOW).mean()) if len(cheap) else None,
        float(run.audited.mean()),
        rate * float(run.audit_usd.mean()),
    )
    return figures(
        known,
        Outcomes(quality, cost_usd, quality - rate * cost_usd),
        {name: run.plan.count(name) / n for name in dict.fromkeys(run.plan)},
        run.us,
        dict(zip(MEASURES, measures, strict=True)),
    )
