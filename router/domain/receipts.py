"""The receipt of one decision: what was known, what it cost, what came back, what learned it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from router.domain.records import Attempt, Choice, DecisionRecord


@dataclass(frozen=True, slots=True)
class Option:
    """An eligible plan as the policy saw it; None where the policy had no estimate."""

    plan: str
    probability: float
    quality: float | None = None
    cost_usd: float | None = None
    utility: float | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """options: the likeliest first. yardstick: the dearest of them, the one to save against.

    saved_usd: its expected cost less what was paid; None where nothing was decided or answered.
    learned_by: the first snapshot still kept that knows the newest event; None for not yet.
    """

    record: DecisionRecord
    options: tuple[Option, ...] = ()
    yardstick: str = ""
    saved_usd: float | None = None
    learned_by: int | None = None

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        return self.record.attempts


def receipt(record: DecisionRecord, position: str | None, snapshots: Mapping[int, str]) -> Receipt:
    """position: of the newest event that tells of it. snapshots: position by version."""
    learned_by = _first_with(position, snapshots) if position else None
    if record.choice is None:
        return Receipt(record, learned_by=learned_by)
    options = _options(record.choice)
    dearest = max(options, key=lambda option: option.cost_usd or 0.0)
    usd = dearest.cost_usd if record.answered else None
    saved_usd = None if usd is None else usd - record.cost_usd
    return Receipt(record, options, dearest.plan, saved_usd, learned_by)


def _options(choice: Choice) -> tuple[Option, ...]:
    known = {plan: rest for plan, *rest in choice.expected}
    ordered = sorted(choice.probabilities, key=lambda pair: -pair[1])
    return tuple(Option(plan, share, *known.get(plan, ())) for plan, share in ordered)


def _first_with(position: str, snapshots: Mapping[int, str]) -> int | None:
    knowing = [v for v, learned in snapshots.items() if _number(learned) >= _number(position)]
    return min(knowing, default=None)


def _number(position: str) -> int:
    return int(position.rpartition("-")[2])
