"""Decisions at which the policy only watched: what it foresaw, and how the caller chose."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from router.domain.events import Decided, Event
from router.domain.records import Choice
from router.tools.evaluate.cases import Case

SMOOTHING: Final = 10.0
"""Decisions' worth of the overall shares that is added to every region's."""
NEVER: Final = 1e-3
"""Times that count for none: so small that a policy which goes there has no overlap left."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Of settled decisions that the policy only watched. elsewhere: share it would have changed.

    paid_usd: in all. cost, quality of what served and of what it would have chosen: means by the
    policy's own forecast at the time, which no outcome has checked.
    """

    decisions: int
    elsewhere: float
    paid_usd: float
    served_usd: float
    would_usd: float
    served_quality: float
    would_quality: float


def foreseen(events: Iterable[Event], since_ms: int = 0) -> Foreseen | None:
    """None where the policy watched nothing."""
    records = [e.record for e in events if isinstance(e, Decided) and e.record.settled]
    pairs = [(r, r.choice) for r in records if r.created_ms >= since_ms and r.choice is not None]
    watched = [(r, *_forecast(c), c) for r, c in pairs if _forecasts(c)]
    if not watched:
        return None
    n = len(watched)
    return Foreseen(
        decisions=n,
        elsewhere=sum(1 - _stays(c) for *_, c in watched) / n,
        paid_usd=sum(r.cost_usd for r, *_ in watched),
        served_usd=sum(served[1] for _, served, _, _ in watched) / n,
        would_usd=sum(would[1] for _, _, would, _ in watched) / n,
        served_quality=sum(served[0] for _, served, _, _ in watched) / n,
        would_quality=sum(would[0] for _, _, would, _ in watched) / n,
    )


def _forecasts(choice: Choice) -> bool:
    """Some policies expect nothing in particular."""
    known = {plan for plan, *_ in choice.expected}
    return choice.observed is not None and known >= {plan for plan, _ in choice.probabilities}


def _stays(choice: Choice) -> float:
    return dict(choice.observed.probabilities if choice.observed else ()).get(choice.plan, 0.0)


def _forecast(choice: Choice) -> tuple[tuple[float, float], tuple[float, float]]:
    """(quality, cost_usd) of what served and of what would have been."""
    known = {plan: (quality, usd) for plan, quality, usd, _ in choice.expected}
    wanted = choice.observed.probabilities if choice.observed else ()
    quality = sum(share * known[plan][0] for plan, share in wanted)
    return known[choice.plan], (quality, sum(share * known[plan][1] for plan, share in wanted))


def as_chosen(cases: Sequence[Case]) -> list[Case]:
    """Watched cases with the caller's propensities estimated from how often it chose what, where.

    By region of the map and smoothed: Hirano, Imbens & Ridder (2003), "Efficient estimation of
    average treatment effects using the estimated propensity score". They hold when nothing but the
    region decided the caller's choice.
    """
    watched = [case for case in cases if case.watched]
    overall = Counter(case.taken for case in watched)
    regions: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for case in watched:
        regions[_region(case)][case.taken] += 1
    return [
        _estimated(case, regions[_region(case)], overall) if case.watched else case
        for case in cases
    ]


def _region(case: Case) -> int:
    return int(case.context.membership.argmax())


def _estimated(case: Case, here: Mapping[str, int], overall: Mapping[str, int]) -> Case:
    everywhere = sum(overall.values())
    names = [action.name for action in case.eligible]
    counts = [here.get(n, 0) + SMOOTHING * overall.get(n, NEVER) / everywhere for n in names]
    return replace(case, probabilities=tuple(count / sum(counts) for count in counts))
