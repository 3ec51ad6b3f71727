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
from router.learning.request_rates import RequestRates

TYPICAL_OUTPUT_TOKENS: Final = 400
MOST_TURNS_AHEAD: Final = 3.0
_LEAST_SHARE: Final = 1e-6
"""Least part of a price that is a guess: it must outlast rounding."""


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
    """What the price of a request depends on. application: a digest, "" for none."""

    needs: Requirements
    conversation: Conversation = field(default_factory=Conversation)
    application: str = ""
    now_ms: int = 0


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
        number, most = asked.conversation.turns + 1, self.most_turns_ahead
        return PriceList(found, single(rates.turns_ahead(asked.application, number, most)))

    def _price(self, deployment: Deployment, asked: PricedRequest, rates: RequestRates) -> ArmPrice:
        needs, per_byte = asked.needs, rates.tokens_per_byte(deployment.name)
        given = max(1.0, needs.input_bytes * per_byte + needs.image_tokens)
        output = min(self.typical_output_tokens, needs.most_output(deployment))
        growth = rates.growth(asked.application, needs.last_bytes * per_byte + output)
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
        self._saved = 0.0 if cached is None else (self._plain - cached) * rates.hit_rate(name)
        more = 0.0 if written is None else max(0.0, written - self._plain)
        self._written = more * rates.write_share(name) if more else 0.0
        self._hit_rate = rates.hit_rate(name) if more else 0.0

    def usd(self, given: float, warm: float) -> float:
        """Returns USD of `given` tokens of which `warm` are a prefix that was read before."""
        warm = warm if warm >= self._least else 0.0
        saved = warm * self._saved
        new = given - warm * self._hit_rate if given >= self._least else 0.0
        return max(0.0, given * self._plain - saved + new * self._written) / TOKENS_PER_MTOK


def _able(arm: Arm, needs: Requirements) -> Deployment | None:
    return next((d for d in arm.deployments if needs.met_by(d)), None)
