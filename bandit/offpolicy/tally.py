"""Evidence that one policy gains on the one that served, in a few sums however long the log is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from bandit.errors import BadInput
from bandit.frontier import LEVEL, Interval
from bandit.offpolicy.confidence import TUNED_FOR, interval_of
from bandit.offpolicy.estimates import LEAST_EFFECTIVE, PRIOR_COUNT, SUM_SLACK


@dataclass(frozen=True, slots=True)
class Weighed:
    """One decision with its reward, k actions.

    logged: probabilities of the policy that served. wanted: those of the other one. expected:
    rewards by a model that has not seen the decision's own. taken: index of the action.
    """

    actions: Sequence[str]
    logged: Sequence[float]
    wanted: Sequence[float]
    expected: Sequence[float]
    taken: int
    reward: float


@dataclass(slots=True)
class GainTally:
    """The sums of `doubly_robust` against the logged probabilities, decision by decision.

    count, total, squares: of the gains. heaviness: sum of expected squared weights. spread,
    surprise, taken: by action, sums of what its weights make of a surprise, of squared surprises,
    and how often it was taken.
    """

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    heaviness: float = 0.0
    spread: dict[str, float] = field(default_factory=dict)
    surprise: dict[str, float] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)

    def add(self, seen: Weighed) -> None:
        """Add a decision. Raises BadInput, and changes nothing then."""
        _check(seen)
        rows = list(zip(seen.actions, seen.logged, seen.wanted, seen.expected, strict=True))
        name, logged, wanted, expected = rows[seen.taken]
        surprise = seen.reward - expected
        gain = sum((w - p) * m for _, p, w, m in rows) + (wanted - logged) / logged * surprise
        self.count += 1
        self.total += gain
        self.squares += gain * gain
        self.surprise[name] = self.surprise.get(name, 0.0) + surprise * surprise
        self.taken[name] = self.taken.get(name, 0) + 1
        for action, p, w, _ in rows:
            if p > 0:
                self.heaviness += w * w / p
                self.spread[action] = self.spread.get(action, 0.0) + (w - p) ** 2 / p

    @property
    def gain(self) -> float:
        """Return the mean gain, 0 of nothing."""
        return self.total / self.count if self.count else 0.0

    @property
    def effective(self) -> float:
        """Count decisions left by their weights; see `effective_size`."""
        return self.count**2 / self.heaviness if self.count else 0.0

    def interval(self, level: float = LEVEL, *, tuned_for: int = TUNED_FOR) -> Interval | None:
        """Return an interval valid at every count; None where too few decisions are left."""
        n = self.count
        if n < 2 or self.effective < LEAST_EFFECTIVE:  # noqa: PLR2004 - a variance needs two
            return None
        variance = (self.squares - n * self.gain**2) / (n - 1)
        return interval_of(n, self.gain, max(variance, self._design()), level, tuned_for=tuned_for)

    def _design(self) -> float:
        """Return the variance by the weights alone, as in `doubly_robust`."""
        pooled = sum(self.surprise.values()) / self.count
        total = 0.0
        for action, spread in self.spread.items():
            squares = self.surprise.get(action, 0.0) + PRIOR_COUNT * pooled
            total += spread * squares / (self.taken.get(action, 0) + PRIOR_COUNT)
        return total / self.count


def _check(seen: Weighed) -> None:
    k = len(seen.actions)
    if not k == len(seen.logged) == len(seen.wanted) == len(seen.expected) > 0:
        raise BadInput("give one share and one expected reward per action")
    if not 0 <= seen.taken < k or not seen.logged[seen.taken] > 0:
        raise BadInput("an action was taken with probability 0; leave such decisions out")
    if not all(map(math.isfinite, (*seen.logged, *seen.wanted, *seen.expected, seen.reward))):
        raise BadInput("a number is not finite; leave such decisions out")
    if min(*seen.logged, *seen.wanted) < 0 or not (_whole(seen.logged) and _whole(seen.wanted)):
        raise BadInput("the shares of a decision are not negative and sum to 1")
    if any(w > 0 and not p > 0 for p, w in zip(seen.logged, seen.wanted, strict=True)):
        raise BadInput("a share lies on an action that was not eligible; mask first")


def _whole(shares: Sequence[float]) -> bool:
    return abs(sum(shares) - 1) <= SUM_SLACK
