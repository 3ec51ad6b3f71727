"""Beliefs of a policy about actions in one context, and how sure it is of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bandit.frontier import Interval
from bandit.types import Action, Context, Estimate, Policy, Vector, Weights

Array = NDArray[np.float64]

SIGMAS: Final = 1.959964
"""Half the width of a central 95 % interval of a normal distribution."""
DRAWS: Final = 2_000
SEED: Final = 0
"""Seed of the draws behind `best`: the same question has the same answer."""


@dataclass(frozen=True, slots=True)
class Belief:
    """A belief about one action. quality, cost_usd: 95 % intervals of the *expected* value.

    best: probability that no other action of those asked about has a higher expected utility.
    These three are None where the policy keeps no posterior. outcomes: summed weights of the
    judged outcomes it rests on, in all contexts.
    """

    action: str
    estimate: Estimate
    quality: Interval | None = None
    cost_usd: Interval | None = None
    best: float | None = None
    outcomes: float | None = None


@runtime_checkable
class PosteriorPolicy(Protocol):
    """A policy that can say how sure it is."""

    def beliefs(
        self, context: Context, actions: Sequence[Action], weights: Weights
    ) -> list[Belief]:
        """Return beliefs in the order of `actions`; draws nothing from the policy's rng."""
        ...


def beliefs_of(
    policy: Policy, context: Context, actions: Sequence[Action], weights: Weights
) -> list[Belief]:
    """Return beliefs in the order of `actions`; estimates alone without a posterior.

    Raises BanditError as `policy.decide` does.
    """
    if isinstance(policy, PosteriorPolicy):
        return policy.beliefs(context, actions, weights)
    estimates = policy.decide(context, actions, weights).estimates
    return [Belief(action.name, estimates[action.name]) for action in actions]


@dataclass(frozen=True, slots=True)
class JointPosterior:
    """Normal posteriors of k actions together.

    quality: (k,) expected quality before it is bounded. quality_covariance, log_cost_covariance:
    (k, k), of expected quality and of the expected logarithm of cost. burden: (k,) what is taken
    off the weighted quality. known_usd: (k,) the part of the cost that is known. outcomes: (k,).
    """

    quality: Vector
    quality_covariance: Array
    log_cost_covariance: Array
    burden: Vector
    known_usd: Vector
    outcomes: Vector

    def beliefs(self, estimates: Sequence[tuple[str, Estimate]], weight: float) -> list[Belief]:
        """Return the beliefs. weight: of quality. estimates: (action, means), k of them."""
        best = self._best(weight)
        deviations = np.sqrt(np.maximum(self.quality_covariance.diagonal(), 0))
        logs = np.sqrt(np.maximum(self.log_cost_covariance.diagonal(), 0))
        return [
            Belief(
                action=name,
                estimate=estimate,
                quality=_bounded(float(self.quality[i]), estimate.quality, float(deviations[i])),
                cost_usd=_scaled(estimate.cost_usd, float(logs[i]), float(self.known_usd[i])),
                best=float(best[i]),
                outcomes=float(self.outcomes[i]),
            )
            for i, (name, estimate) in enumerate(estimates)
        ]

    def _best(self, weight: float) -> Vector:
        """Count draws of joint quality in which each action is best; costs stand at their means."""
        values, vectors = np.linalg.eigh(self.quality_covariance)
        root = vectors * np.sqrt(np.maximum(values, 0))
        normal = np.random.default_rng(SEED).standard_normal((DRAWS, len(values)))
        quality = np.clip(self.quality + normal @ root.T, 0.0, 1.0)
        winners = (weight * quality - self.burden).argmax(axis=1)
        shares: Vector = np.bincount(winners, minlength=len(values)) / DRAWS
        return shares


def _bounded(centre: float, mean: float, deviation: float) -> Interval:
    low, high = centre - SIGMAS * deviation, centre + SIGMAS * deviation
    return Interval(mean, min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0))


def _scaled(mean: float, deviation: float, known: float) -> Interval:
    factor, guessed = float(np.exp(SIGMAS * deviation)), mean - known
    return Interval(mean, known + guessed / factor, known + guessed * factor)
