"""What to write into the config, read off the cross-validated figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bandit.frontier import LEVEL, Interval, bootstrap_mean
from router.domain.catalog import Plan
from router.tools.calibrate.analysis.cross_validation import Tried
from router.tools.calibrate.analysis.frontier import COST, QUALITY, REWARD, Matrix, Way, best_of

LOSS: Final = 0.01
"""Quality that may be given up against the best arm for a lower cost."""
WORTH: Final = 0.05
"""Share of the cost that another weight must save: less is within what exploration makes of it."""
RARE: Final = 0.01
"""A plan that is chosen less often than this is not worth its exploration."""


@dataclass(frozen=True, slots=True)
class Advice:
    """gain: the policy's reward minus that of the best plan alone, at the configured weights.

    Its interval allows for the choice of that plan among all.

    verdict, why: a sentence each. snippet: YAML to be merged into the config.
    """

    cost_weight: float
    plans: tuple[str, ...]
    gain: Interval
    verdict: str
    why: str
    snippet: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What the advice must fit. keep: plans that the config names elsewhere.

    floor: the probability that exploration leaves each plan.

    The unit of cost is written down, so that leaving a plan out does not change what a weight
    means.
    """

    plans: Mapping[str, Plan]
    policy: str
    cost_unit_usd: float
    keep: tuple[str, ...] = ()
    floor: float = 0.0

    @property
    def most_loss(self) -> float:
        """Reward that a policy may lose for what it may yet learn, its exploration aside."""
        return LOSS + len(self.plans) * self.floor


def advise(
    tried: Sequence[Tried], fixed: Sequence[Way], terms: Terms, rng: np.random.Generator
) -> Advice:
    """A cost weight that keeps the best fixed quality within `LOSS`, and the plans it is for.

    The configured one where it keeps it and no other that does saves `WORTH`, or where none keeps
    it; else the cheapest that does. Where the policy does clearly worse than one fixed plan, that
    plan alone. tried: the configured weight first. fixed: a way for every plan, by its name.
    """
    rival = max(fixed, key=lambda way: float(way.numbers[:, REWARD].mean()))
    gain = _gain(tried[0], rival, len(fixed), rng)
    told = f"reward of the policy minus that of always {rival.name}: {_signed(gain)}"
    if gain.high < -terms.most_loss:
        verdict = f"{told}: on these prompts routing does not pay yet; serve that plan alone"
        chosen, kept, numbers = tried[0], {rival.name}, rival.numbers
    else:
        pays = "routing pays" if gain.low > 0 else "a gain is not beyond doubt"
        verdict = f"{told}: {pays} on these prompts"
        chosen = _chosen(tried, best_of(fixed))
        kept = {n for n in terms.plans if chosen.shares[n] >= RARE}
        numbers = chosen.numbers
    names = tuple(n for n in terms.plans if n in kept or n in terms.keep)
    why = _why(numbers, best_of(fixed))
    if chosen is not tried[0]:
        why += "; the weight was chosen on these same prompts"
    return Advice(
        cost_weight=chosen.cost_weight,
        plans=names,
        gain=gain,
        verdict=verdict,
        why=why,
        snippet=_snippet(names, terms, chosen.cost_weight, why),
    )


def _gain(tried: Tried, rival: Way, count: int, rng: np.random.Generator) -> Interval:
    """Against the best of `count` plans: the best of many is lucky, so its interval is wider.

    Bonferroni: at this level all of them would hold at once.
    """
    level = 1 - (1 - LEVEL) / count
    return bootstrap_mean(tried.numbers[:, REWARD] - rival.numbers[:, REWARD], rng, level=level)


def _chosen(tried: Sequence[Tried], best: Way) -> Tried:
    least = best.numbers[:, QUALITY].mean() - LOSS
    good = [t for t in tried if t.numbers[:, QUALITY].mean() >= least]
    cheapest = min(good, key=_cost_usd, default=tried[0])
    will_do = any(t is tried[0] for t in good)
    saves = _cost_usd(cheapest) < (1 - WORTH) * _cost_usd(tried[0])
    return cheapest if saves or not will_do else tried[0]


def _cost_usd(tried: Tried) -> float:
    return float(tried.numbers[:, COST].mean())


def _why(numbers: Matrix, best: Way) -> str:
    quality, cost_usd, _ = numbers.mean(axis=0).tolist()
    at_best, base_usd, _ = best.numbers.mean(axis=0).tolist()
    return (
        f"quality {quality:.3f} at ${cost_usd:.6f} a request; "
        f"always {best.name}: {at_best:.3f} at ${base_usd:.6f}"
    )


def _snippet(names: Sequence[str], terms: Terms, cost_weight: float, why: str) -> str:
    return "\n".join(
        [
            f"# cross-validated: {why}",
            *_policy(terms.policy, terms.cost_unit_usd, cost_weight),
            *_plans({name: terms.plans[name] for name in names}),
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
    """Names are quoted: one such as `on` or `1.5` would be read as something else."""
    return ["plans:", *(f"  {json.dumps(name)}: {_written(p)}" for name, p in kept.items())]


def _written(plan: Plan) -> str:
    rungs = json.dumps(list(plan.rungs))
    if not plan.is_judged:
        return rungs
    second = f", second: {json.dumps(plan.second)}" if plan.second else ""
    return f"{{rungs: {rungs}{second}, gate: {plan.gate}}}"


def _signed(gain: Interval) -> str:
    return f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
