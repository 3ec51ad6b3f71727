"""What evidence to buy of a request: which of its other arms to ask, and with which probability."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bandit.types import Units
from router.domain.catalog import Catalog, Plan
from router.domain.records import Choice
from router.serving.decider import Decider
from router.serving.evidence.purchase import plans_alone, terms_of
from router.serving.evidence.scorers import AnswerScorer
from router.serving.evidence.settings import EvidenceSettings
from router.serving.evidence.worth import (
    Asking,
    Offer,
    TypicalValues,
    contenders,
    gap_of,
    offer_of,
    utility_usd,
    variance_apart,
)
from router.serving.request_state import RequestState


class Offers:
    """Reads the worth of evidence off what the newest snapshot knows. terms: of each arm."""

    def __init__(
        self,
        catalog: Catalog,
        decider: Decider,
        scorer: AnswerScorer,
        units: Units,
        settings: EvidenceSettings,
    ) -> None:
        self._catalog = catalog
        self._decider = decider
        self._scorer = scorer
        self._units = units
        self._settings = settings
        self.terms = {name: terms_of(arm) for name, arm in catalog.arms.items()}
        self._alone = plans_alone(catalog)
        self._utilities, self._costs_usd = TypicalValues(), TypicalValues()

    def arms(self, state: RequestState) -> list[str]:
        """Returns the arms that the request might have gone to, the tenant permitting."""
        plans = state.shadow_plans or state.plans
        named = {arm for plan in plans for arm in plan.arms}
        return [arm for arm in self._catalog.arms if arm in named]

    def is_well(self, state: RequestState) -> bool:
        """Returns whether each of them could be asked."""
        plans = state.shadow_plans or state.plans
        return all(state.is_plan_healthy(self._catalog, plan) for plan in plans)

    def of(self, state: RequestState, choice: Choice) -> Offer:
        """Returns what to buy of a request that is about to be answered by a choice."""
        plans, weights = self._catalog.plans, self._decider.weights
        expected = {known[0]: known for known in choice.expected}
        alone = {p.rungs[0]: expected[p.name] for p in plans.values() if _is_alone(p, expected)}
        prices = {arm: self._price_usd(state, arm) for arm in self.arms(state)}
        costs = {arm: alone[arm][2] if arm in alone else usd for arm, usd in prices.items()}
        usual = self._utilities.see({name: known[3] for name, known in expected.items()})
        best = max(usual.values(), default=-math.inf)
        asked = contenders(self._costs_usd.see(costs), best, weights, self._units)
        first = plans[choice.plan].rungs[0] if choice.plan in plans else choice.plan
        utilities = {arm: usual[known[0]] for arm, known in alone.items()}
        scoring_usd = self._scorer.price_usd(state.needs.input_tokens, 1)
        labels = {arm: self._labels(arm) for arm in alone}
        qualities = [alone[arm][1] for arm in labels]
        apart = variance_apart(qualities, list(labels.values()), self._decider.evidence.spread)
        askings = {
            arm: self._asking(arm, choice, apart, gap_of(arm, utilities), costs[arm] + scoring_usd)
            for arm in asked
            if arm != first
        }
        return offer_of(askings, self._settings.share)

    def _labels(self, arm: str) -> float:
        return self._decider.evidence.labels(arm, self.terms[arm], self._changed_ms(arm))

    def _changed_ms(self, arm: str) -> float:
        return self._decider.changed_ms(self._alone.get(arm, arm))

    def _asking(
        self, arm: str, choice: Choice, apart: float, gap: float, price_usd: float
    ) -> Asking:
        ledger, weights = self._decider.evidence, self._decider.weights
        return Asking(
            known=ledger.known(arm, self.terms[arm], self._changed_ms(arm)),
            labels=self._labels(arm),
            prompts=ledger.prompts,
            near=ledger.near(choice.context.membership),
            spread=ledger.spread,
            apart=apart,
            gap=gap,
            quality_weight=weights.quality,
            ahead=ledger.requests_per_day * self._settings.horizon_days,
            utility_usd=utility_usd(weights, self._units),
            price_usd=price_usd,
        )

    def _price_usd(self, state: RequestState, arm: str) -> float:
        price_usd = state.prices.total_usd(arm) if state.prices else None
        return self._catalog.arms[arm].prior_cost_usd if price_usd is None else price_usd


def _is_alone(plan: Plan, expected: Mapping[str, object]) -> bool:
    return len(plan.rungs) == 1 and plan.name in expected
