"""Whether evidence is bought of a typical request, and why: for operators."""

from __future__ import annotations

from bandit.types import SeesChanges, Units, Weights
from router.domain.catalog import Catalog
from router.learning.evidence import FIRST
from router.learning.learner_state import LearnerState
from router.serving.evidence.purchase import plans_alone, terms_of
from router.serving.evidence.scorers import OUTVOTED
from router.serving.evidence.settings import EvidenceSettings
from router.serving.evidence.worth import (
    GAP_VARIANCE,
    REGIONS,
    Asking,
    Offer,
    offer_of,
    utility_usd,
)


def typical_offer(
    catalog: Catalog,
    learned: LearnerState,
    settings: EvidenceSettings,
    weights: Weights,
    units: Units,
) -> Offer:
    """Returns what is bought of a request that costs list prices and goes to the cheapest arm.

    All arms are taken to be as good as each other: less is bought where they are not.
    """
    ledger, policy = learned.evidence, learned.policy
    changed = policy.changed_ms if isinstance(policy, SeesChanges) else lambda _: 0.0
    judge, alone = catalog.arms.get(settings.judge), plans_alone(catalog)
    cheapest = min(catalog.arms.values(), key=lambda arm: arm.prior_cost_usd)
    askings = {
        name: Asking(
            known=ledger.known(name, terms_of(arm), changed(alone.get(name, name))),
            labels=ledger.labels(name, terms_of(arm), changed(alone.get(name, name))),
            prompts=ledger.prompts,
            near=ledger.prompts / REGIONS,
            spread=ledger.spread,
            apart=GAP_VARIANCE,
            gap=0.0,
            quality_weight=weights.quality,
            ahead=ledger.requests_per_day * settings.horizon_days,
            utility_usd=utility_usd(weights, units),
            price_usd=arm.prior_cost_usd + (judge.prior_cost_usd if judge else 0.0),
        )
        for name, arm in catalog.arms.items()
        if arm is not cheapest
    }
    return offer_of(askings, settings.share)


def obstacle(catalog: Catalog, settings: EvidenceSettings) -> str:
    """Returns why nothing can be bought by this config; "" where it can."""
    if settings.source == "agreement" and len(catalog.arms) < OUTVOTED:
        return f"none is bought: source agreement takes {OUTVOTED} arms, or nobody is outvoted"
    return ""


def outlook(offer: Offer, prompts: float, left_usd: float) -> str:
    """Returns one sentence. left_usd: of the day's budget."""
    if left_usd <= 0 or (offer.share and left_usd < offer.price_usd):
        return "none is bought until tomorrow (UTC): the day's budget is used"
    if not offer.share:
        return "none is bought: no arm's answer to one more prompt is worth its price"
    why = "most, at first and after a change" if prompts < FIRST else "less and less"
    what = f"worth ${offer.worth_usd:.4f} at a price of ${offer.price_usd:.4f}"
    return f"bought of {offer.share:.1%} of typical requests, {why}: {what}"
