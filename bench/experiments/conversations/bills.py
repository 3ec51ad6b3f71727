"""What turns cost where providers keep what they have read: the bill of any row of choices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.experiments.conversations.talks import Numbers, Talks
from bench.experiments.conversations.terms import Terms
from bench.lab.recorded import Rows

Chooser = Callable[["Turn"], Rows]


@dataclass(frozen=True, slots=True)
class Market:
    """Outcomes and prices of n turns of k arms.

    quality, output: (n, k), tokens of answers. usd: (k, 4) per token: input, output, cached,
    written.
    """

    talks: Talks
    terms: Terms
    quality: Numbers
    output: Numbers
    usd: Numbers

    @property
    def cold_usd(self) -> Numbers:
        """Returns what a token costs that a provider has not read: its caches are written."""
        cold_usd: Numbers = np.maximum(self.usd[:, 0], self.usd[:, 3])
        return cold_usd


@dataclass(frozen=True, slots=True)
class Turn:
    """The same turn of m conversations.

    index: (m,) in the stream. tokens: (m,). warm: (m, k), tokens each arm's provider keeps. input:
    (m, k), USD. last: (m,) arm of the turn before, -1 for none. switched, stayed: (m,), USD spent
    on switches so far, and that the first arm alone would have cost.
    """

    index: Rows
    tokens: Numbers
    warm: Numbers
    input_usd: Numbers
    last: Rows
    switched_usd: Numbers
    stayed_usd: Numbers


@dataclass(frozen=True, slots=True)
class ServedTurns:
    """n turns: arm, cost, cached tokens, and whether the arm was another than the turn before."""

    arm: Rows
    cost_usd: Numbers
    cached: Numbers
    switched: NDArray[np.bool_]


class _Caches:
    """What providers keep of each conversation."""

    def __init__(self, market: Market) -> None:
        count, arms = int(market.talks.conversation[-1]) + 1, len(market.usd)
        self.market = market
        self.tokens = np.zeros((count, arms))
        self.at_s = np.full((count, arms), -np.inf)
        self.last = np.full(count, -1, dtype=np.intp)
        self.switched_usd = np.zeros(count)
        self.stayed_usd = np.zeros(count)
        self.first = np.full(count, -1, dtype=np.intp)

    def seen(self, index: Rows) -> Turn:
        talks, usd = self.market.talks, self.market.usd
        here, now_s = talks.conversation[index], talks.at_s[index]
        young = now_s[:, None] - self.at_s[here] <= self.market.terms.life_s
        warm = np.where(young, self.tokens[here], 0.0)
        tokens = talks.tokens[index]
        warm = np.minimum(warm, tokens[:, None])
        input_usd = warm * usd[:, 2] + (tokens[:, None] - warm) * self.market.cold_usd
        last, spent = self.last[here], (self.switched_usd[here], self.stayed_usd[here])
        return Turn(index, tokens, warm, input_usd, last, *spent)

    def serve(self, turn: Turn, arm: Rows) -> Numbers:
        """Returns the cost of these choices, and keeps what was read."""
        market, each = self.market, np.arange(len(arm))
        here = market.talks.conversation[turn.index]
        total_usd = turn.input_usd + market.output[turn.index] * market.usd[:, 1]
        stay = np.where(turn.last >= 0, turn.last, arm)
        extra_usd = np.maximum(turn.input_usd[each, arm] - warm_usd(market, turn, arm), 0.0)
        self.switched_usd[here] += np.where(stay == arm, 0.0, extra_usd)
        self.first[here] = np.where(self.first[here] < 0, arm, self.first[here])
        self.stayed_usd[here] += self._stayed_usd(turn, self.first[here])
        self.tokens[here, arm], self.last[here] = turn.tokens, arm
        self.at_s[here, arm] = market.talks.at_s[turn.index]
        paid_usd: Numbers = total_usd[each, arm]
        return paid_usd

    def _stayed_usd(self, turn: Turn, first: Rows) -> Numbers:
        output_usd = self.market.output[turn.index, first] * self.market.usd[first, 1]
        total_usd: Numbers = warm_usd(self.market, turn, first) + output_usd
        return total_usd


def warm_usd(market: Market, turn: Turn, arm: Rows) -> Numbers:
    """Returns the input's price had these arms answered the turn before as well, (m,)."""
    known = np.where(turn.last >= 0, np.maximum(turn.tokens - market.terms.growth, 0.0), 0.0)
    total: Numbers = known * market.usd[arm, 2] + (turn.tokens - known) * market.cold_usd[arm]
    return total


def serve(market: Market, choose: Chooser) -> ServedTurns:
    """Serve the first turns of all conversations, then the second ones, and so on."""
    talks, caches = market.talks, _Caches(market)
    n = len(talks)
    arm, cost_usd, cached = np.zeros(n, dtype=np.intp), np.zeros(n), np.zeros(n)
    switched = np.zeros(n, dtype=bool)
    for number in range(int(talks.turn.max()) + 1):
        index = np.flatnonzero(talks.turn == number)
        turn = caches.seen(index)
        arm[index] = chosen = choose(turn)
        cached[index] = turn.warm[np.arange(len(index)), chosen]
        switched[index] = (turn.last >= 0) & (turn.last != chosen)
        cost_usd[index] = caches.serve(turn, chosen)
    return ServedTurns(arm, cost_usd, cached, switched)
