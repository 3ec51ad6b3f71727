"""Evidence bought on a replayed stream, by the service's own rule; what it costs is charged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bandit.types import Units, Weights
from bench.lab.recorded import Recorded
from router.domain.catalog import Plan
from router.domain.events import ArmAnswer, Event, EvidenceBought, EvidenceSource, is_drawn
from router.domain.records import Choice, DecisionRecord
from router.learning.evidence import EvidenceLedger
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
    utilities: TypicalValues = field(default_factory=TypicalValues)
    costs_usd: TypicalValues = field(default_factory=TypicalValues)

    def check(self, record: DecisionRecord, row: int) -> tuple[float, EvidenceBought] | None:
        """Returns cost and event of a purchase, None for none."""
        choice = record.choice
        if choice is None:
            return None
        offer = self._offer(choice, record.arm)
        if not is_drawn(f"{self.seed}/{record.id}", offer.share):
            return None
        event = self._event(record, row, offer)
        return event.cost_usd, event

    def learn(self, events: Sequence[Event], record: DecisionRecord) -> None:
        """Count what is learned; of a decision with evidence its feedback says nothing more."""
        bought = [event for event in events if isinstance(event, EvidenceBought)]
        for event in bought or events:
            self.ledger.observe(event, record)

    def _offer(self, choice: Choice, served: str) -> Offer:
        costs = {name: usd for name, _, usd, _ in choice.expected}
        utilities = self.utilities.see({known[0]: known[3] for known in choice.expected})
        best = max(utilities.values(), default=-math.inf)
        asked = contenders(self.costs_usd.see(costs), best, self.weights, self.units)
        gaps = {arm: gap_of(arm, utilities) for arm in asked if arm != served}
        qualities = {name: quality for name, quality, *_ in choice.expected}
        labels = [self.ledger.labels(arm, "") for arm in qualities]
        apart = variance_apart(list(qualities.values()), labels, self.ledger.spread)
        askings = {
            arm: self._asking(arm, choice, apart, gap, costs[arm]) for arm, gap in gaps.items()
        }
        return offer_of(askings, 1.0)

    def _asking(
        self, arm: str, choice: Choice, apart: float, gap: float, price_usd: float
    ) -> Asking:
        ledger = self.ledger
        return Asking(
            known=ledger.known(arm, ""),
            labels=ledger.labels(arm, ""),
            prompts=ledger.prompts,
            near=ledger.near(choice.context.membership),
            spread=ledger.spread,
            apart=apart,
            gap=gap,
            quality_weight=self.weights.quality,
            ahead=self.ahead,
            utility_usd=utility_usd(self.weights, self.units),
            price_usd=price_usd,
        )

    def _event(self, record: DecisionRecord, row: int, offer: Offer) -> EvidenceBought:
        arms = (record.arm, *offer.arms)
        answers = tuple(self._answer(arm, row, served=arm == record.arm) for arm in arms)
        paid = sum(a.cost_usd or 0.0 for a in answers if not a.served)
        source, worth = EvidenceSource.VERIFIER, offer.worth_usd
        return EvidenceBought(record.id, source, offer.share, answers, paid, value_usd=worth)

    def _answer(self, arm: str, row: int, *, served: bool) -> ArmAnswer:
        column, data = self.data.arms.index(arm), self.data
        quality, cost_usd = float(data.quality[row, column]), float(data.cost_usd[row, column])
        return ArmAnswer(arm, quality, cost_usd, served=served)
