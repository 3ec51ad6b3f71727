"""A champion that serves by its own lot, members of known mixes, and a world that can turn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bandit import Context, ContextShape, Policy, PolicySettings, make_policy
from bandit.policies.random_mix import RandomMixOptions
from bandit.types import Units, Weights
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven, PolicyChanged
from router.domain.logged_context import action_of, log_context
from router.domain.records import Attempt, AttemptOutcome, Choice, DecisionRecord, Mode, WeightSet
from router.learning.promotion import ChampionChallenger, ContestSettings, ContestTerms
from router.learning.promotion_state import ContestState, resumed
from router.ports.observer import Observer

PLANS = {name: Plan(name, (name,), 0.01) for name in ("cheap", "good")}
SHAPE = ContextShape(clusters=4, axes=2, features=3)
CONTEXT = Context(np.full(4, 0.25), np.zeros(2), np.zeros(3), "v1")
WEIGHTS = Weights(1.0, 0.0, 0.0, 0.0)
TERMS = ContestTerms(PLANS, Units(0.01), ContestSettings(automatic=True, min_events=200))
FRUGAL, LAVISH = {"cheap": 0.8, "good": 0.2}, {"cheap": 0.2, "good": 0.8}


def mix(shares: Mapping[str, float], seed: int = 0) -> Policy:
    settings = PolicySettings(shape=SHAPE, options=(RandomMixOptions(dict(shares)),))
    return make_policy("random-mix", settings, "v1", np.random.default_rng(seed))


def contest(terms: ContestTerms = TERMS, **members: Mapping[str, float]) -> ChampionChallenger:
    """The first member leads."""
    made = {"policy": FRUGAL, **members}
    state = resumed(ContestState(), dict.fromkeys(made, "as made"))
    return ChampionChallenger({name: mix(shares) for name, shares in made.items()}, state, terms)


def decided(name: str, member: str, policy: Policy) -> Decided:
    """Served and settled by `member`, free of cost."""
    decision = policy.decide(CONTEXT, [action_of(p) for p in PLANS.values()], WEIGHTS)
    choice = Choice(
        plan=decision.action,
        propensity=decision.propensity,
        explored=decision.explored,
        probabilities=tuple(decision.probabilities.items()),
        policy=policy.name,
        policy_version=1,
        weights=WeightSet(1.0, 0.0, 0.0, 0.0),
        context=log_context(CONTEXT),
        expected=tuple((n, e.quality, 0.0, e.utility) for n, e in decision.estimates.items()),
        member=member,
    )
    plan = decision.action
    attempt = Attempt(plan, plan, plan, AttemptOutcome.ACCEPTED, "passed", 100.0)
    return Decided(
        DecisionRecord(name, "acme", 0, Mode.COMPLETE, choice=choice, attempts=(attempt,), arm=plan)
    )


class Town:
    """members: what each would serve by; routers draw their own lots."""

    def __init__(
        self, contest: ChampionChallenger, seed: int, members: Mapping[str, Mapping[str, float]]
    ) -> None:
        self.contest = contest
        self.events = 0
        self.changes: list[PolicyChanged] = []
        self._rng = np.random.default_rng(seed)
        self._serving = {name: mix(shares, seed + 1_000) for name, shares in members.items()}

    def live(self, decisions: int, quality: Mapping[str, float]) -> None:
        """quality: probability that a plan's answer is good."""
        for _ in range(decisions):
            event = self.next()
            assert event.record.choice is not None
            self.hear(event)
            good = float(self._rng.random() < quality[event.record.choice.plan])
            self.hear(FeedbackGiven(event.record.id, good))

    def next(self) -> Decided:
        champion = self.contest.state.champion
        return decided(f"d-{self.events}", champion, self._serving[champion])

    def hear(self, event: Event) -> PolicyChanged | None:
        self.events += 1
        change = self.contest.hear(f"0-{self.events}", event, Observer())
        if change is not None:
            self.changes.append(change)
        return change


def town(seed: int, terms: ContestTerms = TERMS, **challengers: Mapping[str, float]) -> Town:
    members = {"policy": FRUGAL, **challengers}
    return Town(contest(terms, **challengers), seed, members)
