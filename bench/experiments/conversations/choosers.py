"""Ways to choose that need no learning of their own: given qualities and typical outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.experiments.conversations.bills import Chooser, Market, Turn, warm_usd
from bench.experiments.conversations.talks import Numbers
from bench.lab.recorded import Rows

AHEAD_TURNS: Final = 3
"""Turns over which a switch has to earn what it costs."""
LEAST_SAVED_USD: Final = 0.001
SWITCH_SHARE: Final = 0.1
"""Of the never-switch bill, at most spent on switches."""


@dataclass(frozen=True, slots=True)
class Beliefs:
    """Believed quality and output tokens, (n, k); rate: reward lost per USD."""

    market: Market
    quality: Numbers
    output: Numbers
    rate: float

    def output_usd(self, turn: Turn) -> Numbers:
        usd: Numbers = self.output[turn.index] * self.market.usd[:, 1]
        return usd

    def next_usd(self, turn: Turn) -> Numbers:
        """Returns the next turn's cost where the arm answers this one, (m, k)."""
        usd, growth = self.market.usd, self.market.terms.growth
        warm = turn.tokens[:, None] * usd[:, 2]
        total: Numbers = warm + growth * self.market.cold_usd + self.output_usd(turn)
        return total

    def mean_usd(self, turn: Turn) -> Numbers:
        """Returns an arm's mean price of a warm turn of this stream, (m, k)."""
        usd, terms = self.market.usd, self.market.terms
        known = max(0.0, float(self.market.talks.tokens.mean()) - terms.growth)
        input_usd = known * usd[:, 2] + terms.growth * self.market.cold_usd
        total: Numbers = input_usd + self.output_usd(turn)
        return total


def fixed(arm: int) -> Chooser:
    return lambda turn: np.full(len(turn.index), arm, dtype=np.intp)


def given(arms: Rows) -> Chooser:
    return lambda turn: arms[turn.index]


def blind(beliefs: Beliefs) -> Chooser:
    """Chooses by quality and mean price, as if every request were alike."""

    def choose(turn: Turn) -> Rows:
        worth = beliefs.quality[turn.index] - beliefs.rate * beliefs.mean_usd(turn)
        best: Rows = worth.argmax(axis=1)
        return best

    return choose


def horizon(beliefs: Beliefs, ahead: float) -> Chooser:
    """Chooses by quality and price of this turn and of `ahead` turns after it."""

    def choose(turn: Turn) -> Rows:
        now_usd = turn.input_usd + beliefs.output_usd(turn)
        total_usd = now_usd + ahead * beliefs.next_usd(turn)
        worth = (1 + ahead) * beliefs.quality[turn.index] - beliefs.rate * total_usd
        best: Rows = worth.argmax(axis=1)
        return best

    return choose


def first_kept(choose: Chooser) -> Chooser:
    """Keeps what `choose` says on the first turn."""
    return lambda turn: np.where(turn.last < 0, choose(turn), turn.last)


def stay_or_switch(beliefs: Beliefs, choose: Chooser) -> Chooser:
    """Replaces the pin where a few turns' savings less the cost of warming are worth it.

    A fresh choice of a better tier, an arm with a higher price of output, always replaces it.
    """

    def decide(turn: Turn) -> Rows:
        fresh, each = choose(turn), np.arange(len(turn.index))
        pin = np.where(turn.last < 0, fresh, turn.last)
        next_usd = beliefs.next_usd(turn)
        saved_usd = next_usd[each, pin] - next_usd[each, fresh]
        cold = turn.tokens - turn.warm[each, fresh]
        usd = beliefs.market.usd
        warming_usd = cold * (beliefs.market.cold_usd[fresh] - usd[fresh, 2])
        pays = AHEAD_TURNS * saved_usd - warming_usd > LEAST_SAVED_USD
        higher = usd[fresh, 1] > usd[pin, 1]
        return np.where(pays | higher, fresh, pin)

    return decide


def capped(beliefs: Beliefs, choose: Chooser, share: float = SWITCH_SHARE) -> Chooser:
    """Lets switches cost at most a share of what never switching would have cost so far."""

    def decide(turn: Turn) -> Rows:
        fresh, each = choose(turn), np.arange(len(turn.index))
        pin = np.where(turn.last < 0, fresh, turn.last)
        if_warm_usd = warm_usd(beliefs.market, turn, fresh)
        extra_usd = np.maximum(turn.input_usd[each, fresh] - if_warm_usd, 0.0)
        affordable = turn.switched_usd + extra_usd <= share * turn.stayed_usd
        return np.where((turn.last < 0) | affordable, fresh, pin)

    return decide
