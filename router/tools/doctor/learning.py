"""Learning: whether anybody learns, how far behind, and on what evidence plans are chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bandit.adaptive.beliefs import beliefs_of
from bandit.errors import BanditError
from router.adapters.storage import Storage
from router.app.administration import PolicyAdministration
from router.app.learner_state_factory import LearnerStateFactory
from router.config import Config
from router.config.values import catalog_of, context_map_of, weights_of
from router.domain import MS_PER_S
from router.domain.events import Mover, PolicyChanged
from router.domain.logged_context import action_of
from router.domain.requests import EvidenceListing
from router.learning.learner_state import LearnerState
from router.ports.state import StoredSnapshot
from router.tools.doctor.evidence import EvidenceFacts, look_at_evidence
from router.tools.doctor.findings import Finding, fail, lasting, ok, warn
from router.tools.doctor.recent import RecentEvents, read_recent
from router.tools.map.atlas import typical_context
from router.tools.options import moment

SILENT_S: Final = 86_400
LATE_S: Final = 60.0
AHEAD_S: Final = 2.0
NEARLY_FULL: Final = 0.8
LEAST_OUTCOMES: Final = 10
"""A plan with fewer judged outcomes is chosen by its price and what is assumed of it."""
RATE: Final = "send Feedback on answers, or configure a verifier or audits (docs/learning.md)"
START: Final = "run `serve` with learning.embedded, or `adaptive-router learner`"


@dataclass(frozen=True, slots=True)
class _LearningFacts:
    """The store's facts of learning. now_ms: by its clock. led_since_ms: None for no learner."""

    now_ms: int
    led_since_ms: int | None
    backlog: int
    stored: StoredSnapshot | None
    state: LearnerState | None
    recent: RecentEvents
    changes: tuple[PolicyChanged, ...]
    listing: EvidenceListing | None


async def look_at_learning(config: Config, storage: Storage) -> list[Finding]:
    seen = await _seen(config, storage)
    source = config.evidence.source if config.evidence else ""
    evidence = EvidenceFacts(seen.state, seen.listing, source, seen.recent, seen.now_ms)
    return [
        *_learner(config, seen),
        *_heard(config, seen),
        *look_at_evidence(evidence),
        *_promotion(config, seen),
    ]


async def _seen(config: Config, storage: Storage) -> _LearningFacts:
    stored = await storage.snapshots.load()
    position = stored.position if stored else "0"
    state = await asyncio.to_thread(_restored, config, stored) if stored else None
    return _LearningFacts(
        now_ms=await storage.tenants.now_ms(),
        led_since_ms=await storage.lease.held_since_ms(),
        backlog=await storage.events.backlog(position),
        stored=stored,
        state=state,
        recent=await read_recent(storage.events, position),
        changes=tuple(await storage.policies.changes()),
        listing=await _listing(config, storage, state),
    )


async def _listing(
    config: Config, storage: Storage, state: LearnerState | None
) -> EvidenceListing | None:
    if state is None:
        return None
    return await PolicyAdministration(config, storage).evidence(state)


def _restored(config: Config, stored: StoredSnapshot) -> LearnerState | None:
    """None for a snapshot that this config can't serve."""
    try:
        return LearnerStateFactory(config, catalog_of(config)).restore_to_serve(stored.payload)
    except BanditError:
        return None


def _learner(config: Config, seen: _LearningFacts) -> Iterator[Finding]:
    if seen.led_since_ms is not None:
        for_s = max(0.0, (seen.now_ms - seen.led_since_ms) / MS_PER_S)
        yield ok("learning.learner", f"a learner works, for {lasting(for_s)}", seconds=for_s)
    elif seen.backlog:
        text = f"no learner works, and {seen.backlog} events wait"
        yield fail("learning.learner", text, START, backlog=seen.backlog)
    else:
        yield warn("learning.learner", "no learner works", START, backlog=0)
    yield _lag(config, seen)
    if seen.stored is None:
        text = "nothing was learned yet: every plan is chosen on priors"
        yield warn("learning.snapshot", text, RATE, version=0)
    elif seen.state is None:
        text = f"snapshot {seen.stored.version} does not fit this config: an older one serves"
        yield fail("learning.snapshot", text, START, version=seen.stored.version)
    else:
        version, learned = seen.stored.version, seen.state.policy.learned
        until = f", the newest of {moment(to_ms)}" if (to_ms := seen.recent.learned_ms) else ""
        text = f"snapshot {version} rests on {learned} outcomes{until}"
        facts = {"outcomes": learned, "learned_to": moment(to_ms)}
        yield ok("learning.snapshot", text, version=version, **facts)
    ahead_s = (seen.recent.decided_ms - seen.now_ms) / MS_PER_S
    if ahead_s > AHEAD_S:
        text = f"a router's clock is {lasting(ahead_s)} ahead of the store's"
        yield warn("clock.routers", text, "let NTP keep the clocks of all machines")


def _lag(config: Config, seen: _LearningFacts) -> Finding:
    behind = seen.backlog
    waits_s = (seen.now_ms - seen.recent.waiting_ms) / MS_PER_S if seen.recent.waiting_ms else 0.0
    facts = {"events": behind, "seconds": max(0.0, waits_s)}
    if behind >= NEARLY_FULL * config.redis.max_events:
        text = f"{behind} events wait, of {config.redis.max_events} at which requests are refused"
        return fail("learning.lag", text, f"{START}; raise redis.max_events meanwhile", **facts)
    if waits_s > LATE_S:
        text = f"{behind} events wait to be learned, the oldest for {lasting(waits_s)}"
        return warn("learning.lag", text, "see the learner's log, and give it CPU", **facts)
    return ok("learning.lag", f"{behind} events wait to be learned", **facts)


def _heard(config: Config, seen: _LearningFacts) -> Iterator[Finding]:
    outcomes, recent = _outcomes(config, seen), seen.recent
    poor = [plan for plan, count in outcomes.items() if count < LEAST_OUTCOMES]
    yield _feedback(seen, poor)
    arms = {arm: {"answers": n, "judged": recent.judged[arm]} for arm, n in _arms(config, recent)}
    facts = {"outcomes": outcomes, "arms": arms, "newest_events_only": not recent.whole}
    told = ", ".join(f"{arm} {each['judged']} of {each['answers']}" for arm, each in arms.items())
    if poor:
        text = f"these plans are chosen on priors: {', '.join(poor)} (answers judged: {told})"
        yield warn("learning.evidence", text, RATE, **facts)
    else:
        yield ok("learning.evidence", f"every plan has evidence (answers judged: {told})", **facts)


def _feedback(seen: _LearningFacts, poor: list[str]) -> Finding:
    heard_ms = seen.recent.feedback_ms
    facts = {"last_feedback_at": moment(heard_ms), "plans_on_priors": poor}
    ago_s = (seen.now_ms - heard_ms) / MS_PER_S
    if heard_ms and ago_s < SILENT_S:
        return ok("learning.feedback", f"feedback came {lasting(max(0.0, ago_s))} ago", **facts)
    since = lasting(ago_s) if heard_ms else "24 h" if seen.recent.whole else "the newest events"
    plans = f": these plans are chosen on priors: {', '.join(poor)}" if poor else ""
    return warn("learning.feedback", f"no feedback for {since}{plans}", RATE, **facts)


def _outcomes(config: Config, seen: _LearningFacts) -> Mapping[str, float]:
    """Returns judged outcomes by plan; recent ones alone where the policy keeps no count."""
    plans, recent = catalog_of(config).plans, seen.recent.judged_plans
    if seen.state is None:
        return dict.fromkeys(plans, 0.0)
    context = typical_context(context_map_of(config), 0)
    actions = [action_of(plan) for plan in plans.values()]
    beliefs = beliefs_of(seen.state.policy, context, actions, weights_of(config))
    counts = {belief.action: belief.outcomes for belief in beliefs}
    return {plan: float(recent[plan] if n is None else n) for plan, n in counts.items()}


def _arms(config: Config, recent: RecentEvents) -> Iterator[tuple[str, int]]:
    yield from ((arm, recent.answers[arm]) for arm in config.arms)


def _promotion(config: Config, seen: _LearningFacts) -> Iterator[Finding]:
    if not config.challengers:
        yield ok("learning.promotion", "the config has no challengers")
        return
    change = next((each for each in seen.changes if not each.refused), None)
    if change is None:
        yield ok("learning.promotion", "nothing was promoted yet")
        return
    facts = {"at": moment(change.at_ms), "champion": change.champion, "by": change.by}
    text = f"{change.champion} serves instead of {change.before} since {moment(change.at_ms)}"
    if change.by is Mover.GUARD:
        fix = "compare them: `adaptive-router policy list`, `adaptive-router evaluate`"
        yield warn("learning.promotion", f"{text}, rolled back by the guard", fix, **facts)
    else:
        yield ok("learning.promotion", text, **facts)
