"""Logged decisions with their utility, and those at which the policy only watched."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bandit.types import Action, Context, Units, Weights
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven
from router.domain.logged_context import read_context
from router.domain.records import Choice, DecisionRecord
from router.learning.promotion_state import eligible_of, settled_burden, weights_of

SMOOTHING: Final = 10.0
"""Weight of the overall shares in every region's, in decisions."""
NEVER: Final = 1e-3
"""Count of a plan never chosen: so small that a policy which goes there has no overlap left."""


@dataclass(frozen=True, slots=True)
class LoggedCase:
    """A decision with feedback.

    reward: utility in the decision's own weights, its cost the mean of this turn and of those that
    were expected to follow. probabilities, would: one per eligible action.
    would: of the policy where it only watched, else those of what served.
    """

    context: Context
    eligible: tuple[Action, ...]
    probabilities: tuple[float, ...]
    taken: str
    weights: Weights
    reward: float
    would: tuple[float, ...]
    watched: bool = False

    @property
    def region(self) -> int:
        return int(self.context.membership.argmax())


def feedback_in(events: Iterable[Event]) -> dict[str, float]:
    """Returns quality by decision, as reported or corrected last.

    Silence is no measurement; feedback on a session is one of some decision of it, on average.
    """
    given = (e for e in events if isinstance(e, FeedbackGiven) and e.is_measured)
    return {event.decision_id: event.quality for event in given}


def case_of(
    event: Event, feedback: Mapping[str, float], plans: Mapping[str, Plan], units: Units
) -> LoggedCase | None:
    """Returns None unless it is a settled decision with feedback among plans that still exist."""
    if not isinstance(event, Decided):
        return None
    record, choice = event.record, event.record.choice
    quality = feedback.get(record.id)
    if choice is None or quality is None or not record.settled:
        return None
    if not plans.keys() >= {name for name, _ in choice.probabilities}:
        return None
    return _case(record, choice, quality, plans, units)


def _case(
    record: DecisionRecord,
    choice: Choice,
    quality: float,
    plans: Mapping[str, Plan],
    units: Units,
) -> LoggedCase:
    weights, taken_off = weights_of(choice), settled_burden(record, choice, plans, units)
    watched = choice.observed
    would = dict(choice.probabilities if watched is None else watched.probabilities)
    return LoggedCase(
        context=read_context(choice.context),
        eligible=tuple(eligible_of(choice, plans)),
        probabilities=tuple(share for _, share in choice.probabilities),
        taken=choice.plan,
        weights=weights,
        reward=weights.quality * quality - taken_off,
        would=tuple(would.get(name, 0.0) for name, _ in choice.probabilities),
        watched=watched is not None,
    )


def with_estimated_propensities(cases: Sequence[LoggedCase]) -> list[LoggedCase]:
    """Estimate the caller's propensities of watched cases from its choices in each region.

    Smoothed: Hirano, Imbens & Ridder (2003), "Efficient estimation of average treatment effects
    using the estimated propensity score". Valid if nothing but the region decided the choice.
    """
    watched = [case for case in cases if case.watched]
    overall = Counter(case.taken for case in watched)
    regions: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for case in watched:
        regions[case.region][case.taken] += 1
    return [_estimated(c, regions[c.region], overall) if c.watched else c for c in cases]


def _estimated(case: LoggedCase, here: Mapping[str, int], overall: Mapping[str, int]) -> LoggedCase:
    everywhere = sum(overall.values())
    names = [action.name for action in case.eligible]
    counts = [here.get(n, 0) + SMOOTHING * overall.get(n, NEVER) / everywhere for n in names]
    return replace(case, probabilities=tuple(count / sum(counts) for count in counts))


@dataclass(frozen=True, slots=True)
class Forecast:
    """The policy's forecast for settled decisions at which it only watched.

    elsewhere: share of them it would have changed. paid_usd: in all. The others are means by the
    estimates at the time, which no outcome has checked, of what served and of what would have.
    """

    decisions: int
    elsewhere: float
    paid_usd: float
    served_usd: float
    would_usd: float
    served_quality: float
    would_quality: float


def forecast_of(events: Iterable[Event], since_ms: int = 0) -> Forecast | None:
    """Returns None where the policy watched nothing."""
    records = [e.record for e in events if isinstance(e, Decided) and e.record.settled]
    pairs = [(r, r.choice) for r in records if r.created_ms >= since_ms and r.choice is not None]
    watched = [(r, *_estimates(c), c) for r, c in pairs if _has_estimates(c)]
    if not watched:
        return None
    n = len(watched)
    return Forecast(
        decisions=n,
        elsewhere=sum(1 - _stays(c) for *_, c in watched) / n,
        paid_usd=sum(r.cost_usd for r, *_ in watched),
        served_usd=sum(served[1] for _, served, _, _ in watched) / n,
        would_usd=sum(would[1] for _, _, would, _ in watched) / n,
        served_quality=sum(served[0] for _, served, _, _ in watched) / n,
        would_quality=sum(would[0] for _, _, would, _ in watched) / n,
    )


def _has_estimates(choice: Choice) -> bool:
    """Returns whether the policy watched and estimates every plan; some policies do not."""
    known = {plan for plan, *_ in choice.expected}
    return choice.observed is not None and known >= {plan for plan, _ in choice.probabilities}


def _stays(choice: Choice) -> float:
    return dict(choice.observed.probabilities if choice.observed else ()).get(choice.plan, 0.0)


def _estimates(choice: Choice) -> tuple[tuple[float, float], tuple[float, float]]:
    """Returns (quality, cost_usd) of what served, and of what the policy would have chosen."""
    known = {plan: (quality, usd) for plan, quality, usd, _ in choice.expected}
    wanted = choice.observed.probabilities if choice.observed else ()
    quality = sum(share * known[plan][0] for plan, share in wanted)
    return known[choice.plan], (quality, sum(share * known[plan][1] for plan, share in wanted))
