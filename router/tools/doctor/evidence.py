"""Prompts of which every arm is known: how many, what they cost, and whether they are in force."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from router.domain import MS_PER_S
from router.domain.requests import EvidenceListing
from router.learning.evidence import FIRST
from router.learning.learner_state import LearnerState
from router.tools.doctor.findings import Finding, lasting, ok, warn
from router.tools.doctor.recent import RecentEvents
from router.tools.options import moment

OLD_S: Final = 90 * 86_400.0
"""Prompts known for longer than this may tell of other models, and of other traffic."""
FEW_GOLD: Final = 20
"""Answers with gold and a score below which a judge is hardly corrected."""
ADVICE: Final = (
    f"run `adaptive-router calibrate` with {FIRST} prompts or more, or set `evidence` "
    "(docs/evidence.md)"
)

SEE_BOUGHT: Final = "see evidence.bought, or run `adaptive-router calibrate`"
WISHES: Final = (
    "see adaptive_router_evidence_wishes_total by reason: tenants that opted out, requests that "
    "nobody could score, arms that are ill or too dear, too few arms (agreement takes three)"
)
WAIT: Final = "wait, or raise evidence.share"
SCORES: Final = (
    "see adaptive_router_evidence_total by result; agreement scores closed answers alone: take "
    "source judge or verifier for others"
)


@runtime_checkable
class KnowsPrompts(Protocol):
    """A policy that makes use of prompts of which every action is known."""

    @property
    def known_prompts(self) -> int: ...


@dataclass(frozen=True, slots=True)
class EvidenceFacts:
    """What there is to say about evidence. state: None without a snapshot that fits.

    listing: as `policy list` tells it, None where none is known or bought. source: who scores,
    "" without a section `evidence`. now_ms: by the store's clock.
    """

    state: LearnerState | None
    listing: EvidenceListing | None
    source: str
    recent: RecentEvents
    now_ms: int


def look_at_evidence(seen: EvidenceFacts) -> Iterator[Finding]:
    known = _known(seen)
    yield _prompts(seen, known)
    if seen.source:
        yield _purchases(seen)
    if seen.source == "judge":
        yield _gold(seen)


def _known(seen: EvidenceFacts) -> int:
    """Returns the prompts that the policy knows; of one that makes no use of them the ledger's."""
    if seen.state is None:
        return 0
    policy, told = seen.state.policy, int(seen.state.evidence.prompts)
    return policy.known_prompts if isinstance(policy, KnowsPrompts) else told


def _prompts(seen: EvidenceFacts, known: int) -> Finding:
    check, state = "evidence.prompts", seen.state
    name = state.policy.name if state else ""
    bought = int(state.evidence.prompts - state.evidence.calibrated) if state else 0
    newest_ms = int(state.evidence.newest_ms) if state else 0
    calibrated_usd = state.evidence.calibrated_usd if state else 0.0
    facts = {
        "prompts": known,
        "calibrated": max(0, known - bought),
        "bought": bought,
        "newest_at": moment(newest_ms),
        "calibrated_usd": calibrated_usd,
        "bought_usd": state.evidence.spent_usd if state else 0.0,
        "needed": FIRST,
        "in_force": known >= FIRST and isinstance(state and state.policy, KnowsPrompts),
    }
    uses = state is None or isinstance(state.policy, KnowsPrompts)
    if not known:
        text = "of no prompt every arm is known"
        bought_or_not = SEE_BOUGHT if seen.source else ADVICE
        return warn(check, text, bought_or_not, **facts) if uses else ok(check, text, **facts)
    told = f"of {known} prompts every arm is known: {facts['calibrated']} calibrated"
    told += f" for ${calibrated_usd:.4f}" if calibrated_usd else ""
    told += f", {bought} bought" + (f" for ${facts['bought_usd']:.4f}" if bought else "")
    age_s = (seen.now_ms - newest_ms) / MS_PER_S
    told += f", the newest {lasting(max(0.0, age_s))} ago" if newest_ms else ""
    if not uses:
        return ok(check, f"{told}; policy {name} learns them answer by answer", **facts)
    if known < FIRST:
        fix = f"have {FIRST - known} more: {ADVICE}"
        return warn(check, f"{told}; they are in force from {FIRST} on", fix, **facts)
    if newest_ms and age_s > OLD_S:
        return warn(check, f"{told}: models and traffic may be others by now", ADVICE, **facts)
    return ok(check, f"{told}; they are in force", **facts)


def _purchases(seen: EvidenceFacts) -> Finding:
    check, recent, listing = "evidence.bought", seen.recent, seen.listing
    spent_usd = listing.spent_today_usd if listing else 0.0
    outlook = listing.outlook if listing else ""
    facts = {
        "requests": recent.answers.total(),
        "drawable": recent.offered,
        "events": recent.bought,
        "events_in_full": recent.bought_in_full,
        "spent_today_usd": spent_usd,
        "outlook": outlook,
        "newest_events_only": not recent.whole,
    }
    told = f"{recent.bought} purchases among the newest events, ${spent_usd:.4f} today; {outlook}"
    if recent.bought_in_full:
        return ok(check, told, **facts)
    why, fix = _why(seen)
    if not fix:
        return ok(check, f"{told}; {why}", **facts)
    return warn(check, f"nothing was bought in full: {why}; {outlook}", fix, **facts)


def _why(seen: EvidenceFacts) -> tuple[str, str]:
    """Returns why nothing was bought, and what to do; "" where that is as it should be."""
    recent, listing = seen.recent, seen.listing
    known = seen.state.evidence.prompts if seen.state else 0.0
    used_up = listing is not None and listing.spent_today_usd >= listing.budget_usd > 0
    reasons = (
        (not recent.answers, "no request was answered yet", "send requests"),
        (seen.state is None, "no snapshot tells what is known", "see learning.snapshot"),
        (used_up, "the day's budget is used", "raise evidence.budget_usd_per_day"),
        (not recent.offered and known >= FIRST, "as much is known as pays", ""),
        (not recent.offered, "no request was one to buy of", WISHES),
        (not recent.bought, "none was drawn yet, or the answers are still to come", WAIT),
    )
    scored = f"source {seen.source} scored no answers of two arms"
    return next(((why, fix) for holds, why, fix in reasons if holds), (scored, SCORES))


def _gold(seen: EvidenceFacts) -> Finding:
    check, gold = "evidence.gold", seen.state.evidence.rectifier.gold if seen.state else 0
    if gold < FEW_GOLD:
        text = f"{gold} answers that the judge scored have feedback: it is hardly corrected"
        fix = f"send Feedback on answers: {FEW_GOLD} of those scored at least"
        return warn(check, text, fix, gold=gold)
    return ok(check, f"{gold} answers that the judge scored have feedback", gold=gold)
