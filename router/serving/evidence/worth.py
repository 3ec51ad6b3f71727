"""The worth of one more prompt that every arm answers, and how often to buy one.

The knowledge gradient (Frazier, Powell and Dayanik 2008): by how much the mean of the best arm is
expected to rise by what is learned. Few prompts may be worth nothing where more of them are worth
much, so the best mean over further ones counts (Frazier and Powell 2010).

The difference of two arms is one number for all requests and a smaller one for those of a kind: of
the first every prompt tells, for all requests; of the second one like these, for these alone.

Each arm is weighed at its own price, so that a dear one is asked seldom and one that is clearly
behind no more. How far arms differ at all is told by all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bandit.types import Units, Weights
from router.learning.evidence import FIRST

GAP_VARIANCE: Final = 0.01
"""Of the difference in quality of two arms, before anything is known."""
KIND_VARIANCE: Final = 0.0003
"""Of how far that is another one for requests of a kind."""
REGIONS: Final = 8.0
"""Kinds of prompt that are assumed before evidence tells."""
BLOCKS: Final = (1, 4, 16, 64)
ALONE: Final = 2.0
"""Arms by whose difference `GAP_VARIANCE` is known as well as by assumption."""
NEWS: Final = 0.1
"""Part of the requests ahead to which what a prompt teaches is news: the answers that are served
teach it the others, and where arms are nearly alike it matters little."""
LEAST_AHEAD: Final = 2_000.0
"""Requests that are expected to come, however few have come."""
CLEARLY: Final = 2.0
"""Times its price that a prompt is worth to be bought as often as may be."""
SLACK: Final = 0.02
"""Utility by which the best may be overrated."""
FREE: Final = 1e-6
"""Weight of cost that stands for none."""
LATELY: Final = 0.02
"""Weight of a request in the running means of what arms are worth."""
LEAST_SHARE: Final = 0.005
"""A smaller one is none: what is so rare comes too late to be of use."""


@dataclass(frozen=True, slots=True)
class Asking:
    """An arm that might be asked the same as a request, for evidence.

    known: prompts that are known of it, as it is today. labels: scores of its answers in all, those
    that it was chosen for among them. prompts, near: known in all, and of prompts like this one.
    spread: variance of the difference in quality of two arms on a prompt. apart: of the difference
    of their means, before anything is known of this one. gap: of its expected utility and that of
    the best of the others. quality_weight: of utility. ahead: requests to come.
    utility_usd: what a unit of utility is worth. price_usd: of asking and scoring.
    """

    known: float
    labels: float
    prompts: float
    near: float
    spread: float
    apart: float
    gap: float
    quality_weight: float
    ahead: float
    utility_usd: float
    price_usd: float


def utility_usd(weights: Weights, units: Units) -> float:
    """Returns what a unit of utility is worth, by what cost weighs; without a weight anything."""
    return units.cost_usd / max(weights.cost, FREE)


def contenders(
    costs_usd: Mapping[str, float], best: float, weights: Weights, units: Units
) -> list[str]:
    """Returns the arms that might be the best of a request if their answers were perfect.

    costs_usd: expected, by arm. best: the greatest expected utility. What no quality could make up
    for need not be asked.

    >>> contenders({"a": 0.001, "b": 0.02}, 0.9, Weights(cost=0.3), Units(0.02))
    ['a']
    """
    scale = weights.cost / units.cost_usd
    uppers = {arm: weights.quality - scale * usd for arm, usd in costs_usd.items()}
    return [arm for arm, upper in uppers.items() if upper >= best - SLACK]


def worth_usd(asking: Asking) -> float:
    """Returns what the next prompt like this one is expected to be worth."""
    like_it = (asking.near + 1) / (asking.prompts + REGIONS)
    everywhere = _best_gain(asking, asking.apart, asking.labels)
    of_its_kind = _best_gain(asking, KIND_VARIANCE, min(asking.near, asking.known))
    gain = everywhere + like_it * of_its_kind
    return gain * NEWS * max(asking.ahead, LEAST_AHEAD) * asking.utility_usd


def variance_apart(qualities: Sequence[float], labels: Sequence[float], spread: float) -> float:
    """Returns the variance of the difference of two arms' mean qualities, as all arms tell it.

    qualities: expected, by arm. labels: that they are known by. An arm adds its squared distance
    from the mean, and what is not known of it: a step of expectation maximisation from
    `GAP_VARIANCE` (empirical Bayes, Morris 1983).

    >>> variance_apart([0.75, 0.75], [0, 0], 0.16)
    0.01
    >>> round(variance_apart([0.9, 0.91, 0.92, 0.9], [500] * 4, 0.16), 4)
    0.0036
    """
    level, count = GAP_VARIANCE / 2, len(qualities)
    middle = sum(qualities) / max(count, 1)
    found = sum((quality - middle) ** 2 for quality in qualities)
    unknown = sum(1 / (1 / level + 2 * known / spread) for known in labels)
    return 2 * (ALONE * level + found + unknown) / (ALONE + count)


@dataclass(frozen=True, slots=True)
class Offer:
    """What to buy. arms: to ask, worth more than they cost. share: with which probability.

    worth_usd, price_usd: of all of them.
    """

    arms: tuple[str, ...] = ()
    share: float = 0.0
    worth_usd: float = 0.0
    price_usd: float = 0.0


def offer_of(askings: Mapping[str, Asking], most: float) -> Offer:
    """Returns what to buy of a request. askings: by arm, without the one that answers anyway."""
    worths = {arm: worth_usd(asking) for arm, asking in askings.items()}
    paying = {arm: asking for arm, asking in askings.items() if worths[arm] > asking.price_usd}
    if not paying:
        return Offer()
    price_usd = sum(asking.price_usd for asking in paying.values())
    known = min(asking.known for asking in paying.values())
    worth = sum(worths[arm] for arm in paying)
    whole = replace(next(iter(paying.values())), known=known, price_usd=price_usd)
    share = share_of(whole, most, worth)
    return Offer(tuple(paying), share, worth, price_usd) if share else Offer()


class TypicalValues:
    """Running means of values by name, over the requests that came lately.

    What is bought must not hang on how an arm looks on the very request: one that is compared only
    where it looks good is taken to be good everywhere.

    >>> typical = TypicalValues()
    >>> typical.see({"a": 1.0}), typical.see({"a": 2.0, "b": 0.5})
    ({'a': 1.0}, {'a': 1.02, 'b': 0.5})
    """

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def see(self, values: Mapping[str, float]) -> dict[str, float]:
        """Take a request's values in; return the mean of each of these names."""
        for name, value in values.items():
            mean = self._means.get(name, value)
            self._means[name] = mean + LATELY * (value - mean)
        return {name: self._means[name] for name in values}


def gap_of(arm: str, utilities: Mapping[str, float]) -> float:
    """Returns how far an arm's expected utility is from the best of the others; 0 if not known."""
    others = [utility for name, utility in utilities.items() if name != arm]
    return abs(utilities[arm] - max(others)) if arm in utilities and others else 0.0


def share_of(asking: Asking, most: float, worth: float) -> float:
    """Returns the probability with which to buy. most: the greatest. worth: as of `worth_usd`.

    All of it up to `FIRST` prompts, then in inverse proportion to what is known; the less the
    nearer the worth is to the price, and nothing below it.
    """
    if worth <= asking.price_usd:
        return 0.0
    paid_off = (worth / asking.price_usd - 1) / (CLEARLY - 1) if asking.price_usd else 1.0
    share = most * min(1.0, paid_off) * min(1.0, FIRST / max(asking.known, 1.0))
    return share if share >= LEAST_SHARE else 0.0


def _best_gain(asking: Asking, variance: float, known: float) -> float:
    """Returns the gain of a prompt in the block of further ones where it is largest."""
    return max(_gain(asking, variance, known, more) / more for more in BLOCKS)


def _gain(asking: Asking, variance: float, known: float, more: int) -> float:
    """Returns by how much so many further prompts raise the utility of the best arm.

    variance: of the difference in quality, before anything is known.
    """
    squared = asking.quality_weight**2
    noise, prior = max(asking.spread * squared, 1e-9), max(variance * squared, 1e-9)
    before = 1 / (1 / prior + known / noise)
    after = 1 / (1 / prior + (known + more) / noise)
    moved = math.sqrt(before - after)
    return moved * _unit_loss(abs(asking.gap) / moved) if moved else 0.0


def _unit_loss(at: float) -> float:
    """Returns E max(0, Z - at) of a standard normal Z.

    >>> round(_unit_loss(0.0), 4), round(_unit_loss(2.0), 4)
    (0.3989, 0.0085)
    """
    density = math.exp(-at * at / 2) / math.sqrt(2 * math.pi)
    return max(0.0, density - at * math.erfc(at / math.sqrt(2)) / 2)
