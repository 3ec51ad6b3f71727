"""What a calibration will probably cost, told before it begins."""

from __future__ import annotations

from collections.abc import Sequence

from router.domain.catalog import Catalog
from router.tools.calibrate.collect.budget import Budget
from router.tools.calibrate.collect.gathering import Collector
from router.tools.calibrate.collect.prompts import Prompt


def estimate(
    prompts: Sequence[Prompt],
    catalog: Catalog,
    typical_tokens: int,
    gatherer: Collector,
    purse: Budget,
) -> str:
    """typical_tokens: of an answer."""
    asked = [(p, arm) for p in prompts for arm in catalog.arms]
    left = [(p, arm) for p, arm in asked if gatherer.is_open(p, arm)]
    likely_usd = sum(gatherer.likely_usd(p, typical_tokens) for p in prompts)
    most_usd = sum(gatherer.most_usd(p) for p in prompts)
    return (
        f"{len(prompts)} prompts x {len(catalog.arms)} arms: {len(left)} answers to get, "
        f"{len(asked) - len(left)} settled before; about ${likely_usd:.4f} at {typical_tokens} "
        f"tokens an answer, at most ${most_usd:.4f}; ${purse.spent_usd:.4f} of the budget of "
        f"${purse.budget_usd:.2f} is spent"
    )
