"""Whether evidence is bought of a typical request, and why: for operators."""

from __future__ import annotations

from bandit.types import SeesChanges, Units, Weights
from router.domain.catalog import Catalog
from router.learning.evidence import FIRST
from router.learning.learner_state import LearnerState
from router.serving.evidence.purchase import terms_of
from router.serving.evidence.settings import EvidenceSettings
from router.serving.evidence.worth import REGIONS, Asking, share_of, utility_usd, worth_usd


def typical_asking(
    catalog: Catalog,
    learned: LearnerState,
    settings: EvidenceSettings,
    weights: Weights,
    units: Units,
) -> Asking:
    """Returns a request at list prices whose best plans are as good as each other."""
    ledger, policy = learned.evidence, learned.policy
    changed = policy.changed_ms if isinstance(policy, SeesChanges) else lambda _: 0.0
    prices = [arm.prior_cost_usd for arm in catalog.arms.values()]
    judge = catalog.arms.get(settings.judge)
    scoring_usd = len(prices) * judge.prior_cost_usd if judge else 0.0
    known = (ledger.known(n, terms_of(arm), changed(n)) for n, arm in catalog.arms.items())
    return Asking(
        known=min(known),
        prompts=ledger.prompts,
        near=ledger.prompts / REGIONS,
        spread=ledger.spread,
        gap=0.0,
        quality_weight=weights.quality,
        ahead=ledger.requests_per_day * settings.horizon_days,
        utility_usd=utility_usd(weights, units),
        price_usd=sum(prices) - min(prices) + scoring_usd,
    )


def outlook(asking: Asking, settings: EvidenceSettings, left_usd: float) -> str:
    """Returns one sentence. left_usd: of the day's budget."""
    worth = worth_usd(asking)
    share, told = share_of(asking, settings.share, worth), f"{asking.known:.0f} prompts are known"
    what = f"one more is worth ${worth:.4f} and costs ${asking.price_usd:.4f}"
    if left_usd <= asking.price_usd:
        return f"none is bought until tomorrow (UTC): the day's budget is used; {told}"
    if not share:
        return f"none is bought: {what}; {told}"
    why = "most, at first and after a change" if asking.known < FIRST else "less and less"
    return f"bought of {share:.1%} of typical requests, {why}: {what}; {told}"
