"""Evidence bought on a replayed stream, by the service's own rule; what it costs is charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bandit.types import Units, Weights
from bench.lab.recorded import Recorded
from router.domain.catalog import Plan
from router.domain.events import ArmAnswer, EvidenceBought, EvidenceSource, is_drawn
from router.domain.records import Choice, DecisionRecord
from router.learning.evidence import EvidenceLedger
from router.serving.evidence.worth import Asking, share_of, utility_usd, worth_usd


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
        asking = self._asking(choice)
        worth = worth_usd(asking)
        share = share_of(asking, 1.0, worth)
        if not is_drawn(f"{self.seed}/{record.id}", share):
            return None
        event = self._event(record, row, share, worth)
        self.ledger.observe(event, record)
        return event.cost_usd, event

    def _asking(self, choice: Choice) -> Asking:
        ledger = self.ledger
        utilities = sorted((known[3] for known in choice.expected), reverse=True)[:2]
        prices = [plan.prior_cost_usd for plan in self.plans.values()]
        return Asking(
            known=ledger.prompts,
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
        self, record: DecisionRecord, row: int, share: float, worth: float
    ) -> EvidenceBought:
        pairs = zip(self.data.quality[row].tolist(), self.data.cost_usd[row].tolist(), strict=True)
        arms = tuple(
            ArmAnswer(arm, quality, cost_usd, served=arm == record.arm)
            for arm, (quality, cost_usd) in zip(self.data.arms, pairs, strict=True)
        )
        paid = sum(a.cost_usd or 0.0 for a in arms if not a.served)
        source = EvidenceSource.VERIFIER
        return EvidenceBought(record.id, source, share, arms, paid, value_usd=worth)
