"""Advice on the config, from the cross-validated figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bandit.frontier import LEVEL, Interval
from bandit.types import Vector
from router.domain.catalog import Plan
from router.tools.calibrate.analysis.cross_validation import CostWeightResult
from router.tools.calibrate.analysis.frontier import (
    COST,
    QUALITY,
    REWARD,
    Strategy,
    best_of,
)
from router.tools.calibrate.analysis.precision import Strata

LOSS: Final = 0.01
"""Quality that may be given up against the best arm for a lower cost."""
WORTH: Final = 0.05
"""Share of the cost that another weight must save; less is within the noise of exploration."""
RARE: Final = 0.01
"""A plan that is chosen less often than this is not worth its exploration."""


@dataclass(frozen=True, slots=True)
class Advice:
    """gain: the policy's reward minus that of the best plan alone, at the configured weights.

    Its interval allows for choosing that plan among all. verdict, why: a sentence each. snippet:
    YAML to merge into the config.
    """

    cost_weight: float
    plans: tuple[str, ...]
    gain: Interval
    verdict: str
    why: str
    snippet: str


@dataclass(frozen=True, slots=True)
class AdviceConstraints:
    """Config that the advice must fit.

    policy: its name. cost_unit_usd: written into the advice, so that leaving a plan out does not
    change what a weight means. keep: plans that the config names elsewhere. floor: the least
    probability of each plan.
    """

    plans: Mapping[str, Plan]
    policy: str
    cost_unit_usd: float
    keep: tuple[str, ...] = ()
    floor: float = 0.0

    @property
    def most_loss(self) -> float:
        """Reward that a policy may lose while it still learns, plus that of its exploration."""
        return LOSS + len(self.plans) * self.floor


def advise(
    tried: Sequence[CostWeightResult],
    fixed: Sequence[Strategy],
    constraints: AdviceConstraints,
    strata: Strata | None = None,
) -> Advice:
    """Advise a cost weight that keeps the best plan's quality within `LOSS`, and its plans.

    That is the configured weight, unless another one keeps the quality and saves `WORTH` or the
    configured one does not keep it: then the cheapest that does. If the policy is clearly worse
    than one fixed plan, that plan alone is advised.

    tried: the configured weight first. fixed: a strategy per plan, by its name. strata: of the
    prompts; None where they are of one cluster.
    """
    rival = best_reward(fixed)
    differences = tried[0].numbers[:, REWARD] - rival.numbers[:, REWARD]
    precision = (strata or Strata.of([0] * len(differences))).precision(differences)
    # The best of many is lucky to be the best. Bonferroni: so wide, the intervals over each hold.
    gain = precision.interval(1 - (1 - LEVEL) / len(fixed))
    sentence = f"reward of the policy minus that of always {rival.name}: {_signed(gain)}"
    if len(fixed) > 1:
        sentence += f", picked as the best of {len(fixed)}"
    if gain.high < -constraints.most_loss:
        verdict = f"{sentence}: on these prompts routing does not pay yet; serve that plan alone"
        chosen, kept, means = tried[0], {rival.name}, rival.means
    else:
        pays = "routing pays" if gain.low > 0 else "a gain is not beyond doubt"
        verdict = f"{sentence}: {pays} on these prompts"
        chosen = _chosen(tried, best_of(fixed))
        kept = {n for n in constraints.plans if chosen.shares[n] >= RARE}
        means = chosen.means
    names = tuple(n for n in constraints.plans if n in kept or n in constraints.keep)
    why = _why(means, best_of(fixed))
    if chosen is not tried[0]:
        why += "; the weight was chosen on these same prompts"
    return Advice(
        cost_weight=chosen.cost_weight,
        plans=names,
        gain=gain,
        verdict=verdict,
        why=why,
        snippet=_snippet(names, constraints, chosen.cost_weight, why),
    )


def best_reward(fixed: Sequence[Strategy]) -> Strategy:
    return max(fixed, key=lambda strategy: float(strategy.means[REWARD]))


def _chosen(tried: Sequence[CostWeightResult], best: Strategy) -> CostWeightResult:
    least = best.means[QUALITY] - LOSS
    good = [t for t in tried if t.means[QUALITY] >= least]
    cheapest = min(good, key=_cost_usd, default=tried[0])
    will_do = any(t is tried[0] for t in good)
    saves = _cost_usd(cheapest) < (1 - WORTH) * _cost_usd(tried[0])
    return cheapest if saves or not will_do else tried[0]


def _cost_usd(tried: CostWeightResult) -> float:
    return float(tried.means[COST])


def _why(means: Vector, best: Strategy) -> str:
    quality, cost_usd, _ = means.tolist()
    at_best, base_usd, _ = best.means.tolist()
    return (
        f"quality {quality:.3f} at ${cost_usd:.6f} a request; "
        f"always {best.name}: {at_best:.3f} at ${base_usd:.6f}"
    )


def _snippet(
    names: Sequence[str], constraints: AdviceConstraints, cost_weight: float, why: str
) -> str:
    return "\n".join(
        [
            f"# cross-validated: {why}",
            *_policy(constraints.policy, constraints.cost_unit_usd, cost_weight),
            *_plans({name: constraints.plans[name] for name in names}),
            "",
        ]
    )


def _policy(name: str, cost_unit_usd: float, cost_weight: float) -> list[str]:
    return [
        "policy:",
        f"  name: {name}",
        f"  cost_unit_usd: {cost_unit_usd:.9g}",
        f"  weights: {{cost: {cost_weight:g}}}",
    ]


def _plans(kept: Mapping[str, Plan]) -> list[str]:
    """Returns lines with quoted names: `on` or `1.5` would be read as something else."""
    return ["plans:", *(f"  {json.dumps(name)}: {_written(p)}" for name, p in kept.items())]


def _written(plan: Plan) -> str:
    rungs = json.dumps(list(plan.rungs))
    if not plan.is_judged:
        return rungs
    second = f", second: {json.dumps(plan.second)}" if plan.second else ""
    return f"{{rungs: {rungs}{second}, gate: {plan.gate}}}"


def _signed(gain: Interval) -> str:
    return f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
