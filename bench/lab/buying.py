"""Evidence bought on a replayed stream, by the service's own rule; what it costs is charged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from bandit.types import Units, Weights
from bench.lab.recorded import Recorded
from router.domain.catalog import Plan
from router.domain.events import ArmAnswer, EvidenceBought, EvidenceSource, is_drawn
from router.domain.records import Choice, DecisionRecord
from router.learning.evidence import EvidenceLedger
from router.serving.evidence.worth import Asking, contenders, share_of, utility_usd, worth_usd


@dataclass(slots=True)
class ReplayBuyer:
    """Asks every arm of a request and scores by what is recorded, as a verifier would.

    ahead: requests that are expected to come. seed: of the draws, which are by the decision's id.
    """

    data: Recorded
    plans: Mapping[str, Plan]
    weights: Weights
    units: Units
    ahead: float
    seed: int
    ledger: EvidenceLedger = field(default_factory=EvidenceLedger)

    def check(self, record: DecisionRecord, row: int) -> tuple[float, EvidenceBought] | None:
        """Returns cost and event of a purchase, None for none."""
        choice = record.choice
        if choice is None:
            return None
        arms = self._contenders(choice, record.arm)
        if len(arms) == 1:
            return None
        asking = self._asking(choice, arms)
        worth = worth_usd(asking)
        share = share_of(asking, 1.0, worth)
        if not is_drawn(f"{self.seed}/{record.id}", share):
            return None
        event = self._event(record, row, arms, (share, worth))
        self.ledger.observe(event, record)
        return event.cost_usd, event

    def _contenders(self, choice: Choice, served: str) -> list[str]:
        costs = {name: usd for name, _, usd, _ in choice.expected}
        best = max((known[3] for known in choice.expected), default=-math.inf)
        found = {served, *contenders(costs, best, self.weights, self.units)}
        return [arm for arm in self.data.arms if arm in found]

    def _asking(self, choice: Choice, arms: list[str]) -> Asking:
        ledger = self.ledger
        utilities = sorted((known[3] for known in choice.expected), reverse=True)[:2]
        costs = {name: usd for name, _, usd, _ in choice.expected}
        prices = [costs.get(arm, self.plans[arm].prior_cost_usd) for arm in arms]
        return Asking(
            known=min(ledger.known(arm, "") for arm in arms),
            prompts=ledger.prompts,
            near=ledger.near(choice.context.membership),
            spread=ledger.spread,
            gap=utilities[0] - utilities[-1] if utilities else 0.0,
            quality_weight=self.weights.quality,
            ahead=self.ahead,
            utility_usd=utility_usd(self.weights, self.units),
            price_usd=sum(prices) - min(prices),
        )

    def _event(
        self, record: DecisionRecord, row: int, arms: list[str], drawn: tuple[float, float]
    ) -> EvidenceBought:
        """Returns the event. drawn: the probability, and the worth."""
        answers = tuple(self._answer(arm, row, served=arm == record.arm) for arm in arms)
        paid = sum(a.cost_usd or 0.0 for a in answers if not a.served)
        source, (share, worth) = EvidenceSource.VERIFIER, drawn
        return EvidenceBought(record.id, source, share, answers, paid, value_usd=worth)

    def _answer(self, arm: str, row: int, *, served: bool) -> ArmAnswer:
        column, data = self.data.arms.index(arm), self.data
        quality, cost_usd = float(data.quality[row, column]), float(data.cost_usd[row, column])
        return ArmAnswer(arm, quality, cost_usd, served=served)
