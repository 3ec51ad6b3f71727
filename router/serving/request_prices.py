"""The price of a request at every arm and plan: its input to the cent, its output as a guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bandit.types import Action
from router.domain.catalog import (
    ASKING_SHARE,
    ESCALATION_SHARE,
    LEAST_PRIOR_USD,
    TOKENS_PER_MTOK,
    Arm,
    Catalog,
    Deployment,
    Plan,
)
from router.domain.conversations import Conversation, warm_of
from router.domain.eligibility import Requirements
from router.domain.logged_context import single
from router.learning.request_rates import (
    BYTES,
    FIRST,
    GROWN,
    GROWTHS,
    HITS,
    LATER,
    SECOND,
    TOKENS,
    WRITTEN,
    RequestRates,
)

TYPICAL_OUTPUT_TOKENS: Final = 400
MOST_TURNS_AHEAD: Final = 3.0
_LEAST_SHARE: Final = 1e-6
"""Least part of a price that is a guess: it must outlast rounding."""

TOKENS_PER_BYTE: Final = 1 / 3.6
PRIOR_BYTES: Final = 6_000.0
"""A few requests' worth."""
HIT_RATE: Final = 0.8
WRITE_SHARE: Final = 1.0
PRIOR_CALLS: Final = 3.0
PRIOR_TURNS: Final = 3.0
"""Observations that the rates count for which hold before anything is known."""
_MOST_LEFT: Final = 0.99
"""Largest chance of another turn: expectations stay finite."""


@dataclass(frozen=True, slots=True)
class ArmPrice:
    """Prices of one call. next_usd: of the next turn's input, if this arm answers now."""

    input_usd: float
    next_usd: float
    guess_usd: float

    @property
    def total_usd(self) -> float:
        return self.input_usd + self.guess_usd


@dataclass(frozen=True, slots=True)
class PriceList:
    """What one request costs. arms: those that can serve it. turns_ahead: expected further turns.

    A price of the next turn is valued as often as turns are expected: per turn the known input is
    (input + T next) / (1 + T).
    """

    arms: Mapping[str, ArmPrice]
    turns_ahead: float = 0.0

    def total_usd(self, arm: str) -> float | None:
        """Returns the price of a call; None for an arm that can't serve the request."""
        return self.arms[arm].total_usd if arm in self.arms else None

    def input_usd(self, arm: str) -> float:
        """Returns the known part of it, 0 for an arm that can't serve the request."""
        return self.arms[arm].input_usd if arm in self.arms else 0.0

    def action(self, plan: Plan) -> Action:
        """Returns the plan with its price, rounded as it is logged."""
        if not all(arm in self.arms for arm in plan.arms):
            return Action(plan.name, plan.prior_cost_usd)
        first = self.arms[plan.rungs[0]]
        prior_usd = sum(
            self.arms[rung].total_usd * ESCALATION_SHARE**i for i, rung in enumerate(plan.rungs)
        )
        if plan.second:
            prior_usd += self.arms[plan.second].total_usd * ASKING_SHARE
        input_usd, turns = first.input_usd, self.turns_ahead
        least_usd = input_usd + max(LEAST_PRIOR_USD, input_usd * _LEAST_SHARE)
        ahead_usd = (input_usd + turns * first.next_usd) / (1 + turns)
        return Action(
            plan.name, single(max(prior_usd, least_usd)), single(input_usd), single(ahead_usd)
        )


@dataclass(frozen=True, slots=True)
class PricedRequest:
    """Everything that the price of a request depends on.

    application: a digest, "" for none. number: of the turn, 1 for the first.
    """

    needs: Requirements
    conversation: Conversation = field(default_factory=Conversation)
    application: str = ""
    now_ms: int = 0
    number: int = 1


@dataclass(frozen=True, slots=True)
class RequestPrices:
    """Reckons prices; nothing is asked for, so that replays reckon the same.

    typical_output_tokens: of an answer, before anything is learned. most_turns_ahead: further turns
    that are valued at most, 0 for this turn's price alone.
    """

    catalog: Catalog
    typical_output_tokens: int = TYPICAL_OUTPUT_TOKENS
    most_turns_ahead: float = MOST_TURNS_AHEAD

    def of(self, asked: PricedRequest, rates: RequestRates) -> PriceList:
        found: dict[str, ArmPrice] = {}
        for name, arm in self.catalog.arms.items():
            deployment = _able(arm, asked.needs)
            if deployment is not None:
                found[name] = self._price(deployment, asked, rates)
        turns = turns_ahead(rates, asked.application, is_first=asked.number == 1)
        return PriceList(found, single(min(turns, self.most_turns_ahead)))

    def _price(self, deployment: Deployment, asked: PricedRequest, rates: RequestRates) -> ArmPrice:
        needs, per_byte = asked.needs, tokens_per_byte(rates, deployment.name)
        given = max(1.0, needs.input_bytes * per_byte + needs.image_tokens)
        output = min(self.typical_output_tokens, needs.most_output(deployment))
        growth = growth_of(rates, asked.application, needs.last_bytes * per_byte + output)
        warm = min(warm_of(asked.conversation, deployment, asked.now_ms), given)
        cost = _InputCost(deployment, rates)
        return ArmPrice(
            input_usd=cost.usd(given, warm),
            next_usd=cost.usd(given + growth, given),
            guess_usd=output * deployment.price.output_usd_per_mtok / TOKENS_PER_MTOK,
        )


class _InputCost:
    """Costs of inputs at one deployment, part of which it has read before."""

    def __init__(self, deployment: Deployment, rates: RequestRates) -> None:
        price, name = deployment.price, deployment.name
        self._least = deployment.cache_least_tokens
        self._plain = price.input_usd_per_mtok
        cached, written = price.cached_input_usd_per_mtok, price.cache_write_usd_per_mtok
        self._saved = 0.0 if cached is None else (self._plain - cached) * hit_rate(rates, name)
        more = 0.0 if written is None else max(0.0, written - self._plain)
        self._written = more * write_share(rates, name) if more else 0.0
        self._hit_rate = hit_rate(rates, name) if more else 0.0

    def usd(self, given: float, warm: float) -> float:
        """Returns USD of `given` tokens of which `warm` are a prefix that was read before."""
        warm = warm if warm >= self._least else 0.0
        saved = warm * self._saved
        new = given - warm * self._hit_rate if given >= self._least else 0.0
        return max(0.0, given * self._plain - saved + new * self._written) / TOKENS_PER_MTOK


def _able(arm: Arm, needs: Requirements) -> Deployment | None:
    return next((d for d in arm.deployments if needs.met_by(d)), None)


def tokens_per_byte(rates: RequestRates, deployment: str) -> float:
    row = rates.deployments.get(deployment)
    tokens, size = (0.0, 0.0) if row is None else (row[TOKENS], row[BYTES])
    return (TOKENS_PER_BYTE * PRIOR_BYTES + tokens) / (PRIOR_BYTES + size)


def hit_rate(rates: RequestRates, deployment: str) -> float:
    """Returns the share of a warm prefix that is read from the cache."""
    return _share(rates, deployment, HITS, HIT_RATE)


def write_share(rates: RequestRates, deployment: str) -> float:
    """Returns the share of what is not read from the cache that is written there."""
    return _share(rates, deployment, WRITTEN, WRITE_SHARE)


def _share(rates: RequestRates, deployment: str, column: int, usual: float) -> float:
    row = rates.deployments.get(deployment)
    return usual if row is None else _shrunk(row[column], row[column + 1], usual, PRIOR_CALLS)


def growth_of(rates: RequestRates, application: str, start: float) -> float:
    """Returns input tokens that a turn adds. start: the guess before anything is known."""
    known = _shrunk(rates.everything[GROWN], rates.everything[GROWTHS], start)
    row = rates.applications.get(application)
    return known if row is None else _shrunk(row[GROWN], row[GROWTHS], known)


def turns_ahead(rates: RequestRates, application: str, *, is_first: bool) -> float:
    """Returns how many turns are expected after this one.

    With p a second turn follows the first, with q another one each later turn: p / (1 - q) after
    the first, q / (1 - q) after any other.

    >>> rates = RequestRates({"all": [27.0, 15.0, 42.0, 0.0, 0.0]})
    >>> round(turns_ahead(rates, "", is_first=True), 6)
    1.666667
    >>> round(turns_ahead(rates, "", is_first=False), 6)
    2.333333
    """
    row = rates.applications.get(application)
    first, later = _chances(rates.everything, (0.0, 0.0))
    if row is not None:
        first, later = _chances(row, (first, later))
    return (first if is_first else later) / (1 - min(later, _MOST_LEFT))


def _chances(row: list[float], usual: tuple[float, float]) -> tuple[float, float]:
    """Returns the chances of a second turn, and of another one after it."""
    after = row[SECOND] + row[LATER]
    first = _shrunk(row[SECOND], row[FIRST], usual[0])
    return min(first, 1.0), min(_shrunk(row[LATER], after, usual[1]), 1.0)


def _shrunk(total: float, count: float, usual: float, strength: float = PRIOR_TURNS) -> float:
    return (total + strength * usual) / (count + strength)
