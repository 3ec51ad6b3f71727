"""What an outcome must be before anything is learned from it."""

from __future__ import annotations

import math

from bandit.choice import check_price
from bandit.errors import BadOutcome
from bandit.types import Outcome


def check_outcome(outcome: Outcome) -> None:
    """Raises BadOutcome or BadAction."""
    check_price(outcome.action)
    _within("weight", outcome.weight, 0, 1, open_below=True)
    _within("propensity", outcome.propensity, 0, 1, open_below=True)
    _within("quality", outcome.quality, 0, 1)
    _within("replaces", outcome.replaces, 0, 1)
    _within("cost_usd", outcome.cost_usd, 0, math.inf)
    _within("latency_ms", outcome.latency_ms, 0, math.inf)
    _within("made_ms", outcome.made_ms, 0, math.inf)


def _within(
    name: str, value: float | None, low: float, high: float, *, open_below: bool = False
) -> None:
    if value is None:
        return
    inside = low <= value <= high and math.isfinite(value) and not (open_below and value == low)
    if not inside:
        bracket = "(" if open_below else "["
        raise BadOutcome(f"{name} of an outcome must be a finite number in {bracket}{low}, {high}]")
