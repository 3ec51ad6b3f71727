"""What to write into the config, read off the cross-validated figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from router.calibrate.crossing import Tried
from router.calibrate.frontier import COST, QUALITY, Way
from router.core.arms import Plan

LOSS: Final = 0.01
"""Quality that may be given up against the best arm for a lower cost."""
RARE: Final = 0.01
"""A plan that is chosen less often than this is not worth its exploration."""


@dataclass(frozen=True, slots=True)
class Advice:
    """snippet: YAML to be merged into the config. why: one sentence on it."""

    cost_weight: float
    plans: tuple[str, ...]
    why: str
    snippet: str


def advise(
    tried: Sequence[Tried],
    best: Way,
    plans: Mapping[str, Plan],
    *,
    policy: str,
    cost_unit_usd: float,
    keep: Sequence[str] = (),
) -> Advice:
    """The cheapest that keeps the best arm's quality within `LOSS`, else what is configured.

    tried: the configured weight first. keep: plans that the config names elsewhere. The unit of
    cost is written down, so that leaving a plan out does not change what the weight means.
    """
    chosen = _chosen(tried, best)
    often = (n for n in plans if chosen.shares[n] >= RARE or n in keep)
    kept = tuple(often) or tuple(plans)
    means = chosen.numbers.mean(axis=0)
    base = best.numbers.mean(axis=0)
    why = (
        f"quality {means[QUALITY]:.3f} at ${means[COST]:.6f} a request; "
        f"always {best.name}: {base[QUALITY]:.3f} at ${base[COST]:.6f}"
    )
    snippet = [
        f"# cross-validated: {why}",
        *_policy(policy, cost_unit_usd, chosen.cost_weight),
        *_plans({name: plans[name] for name in kept}),
        "",
    ]
    return Advice(chosen.cost_weight, kept, why, "\n".join(snippet))


def _chosen(tried: Sequence[Tried], best: Way) -> Tried:
    least = best.numbers[:, QUALITY].mean() - LOSS
    good = [t for t in tried if t.numbers[:, QUALITY].mean() >= least]
    return min(good, key=lambda t: float(t.numbers[:, COST].mean()), default=tried[0])


def _policy(name: str, cost_unit_usd: float, cost_weight: float) -> list[str]:
    return [
        "policy:",
        f"  name: {name}",
        f"  cost_unit_usd: {cost_unit_usd:.9g}",
        f"  weights: {{cost: {cost_weight:g}}}",
    ]


def _plans(kept: Mapping[str, Plan]) -> list[str]:
    """Names are quoted: one such as `on` or `1.5` would be read as something else."""
    listed = [f"  {json.dumps(name)}: {json.dumps(list(p.rungs))}" for name, p in kept.items()]
    return ["plans:", *listed]
