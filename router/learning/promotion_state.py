"""State of a contest: pending decisions and gains so far, encoded and decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from bandit.choice import burden
from bandit.errors import CorruptSnapshot
from bandit.offpolicy import GainTally, Weighed
from bandit.types import Action, Units, Weights
from router.domain.catalog import Plan
from router.domain.logged_context import action_of
from router.domain.records import BASE, AttemptOutcome, Choice, DecisionRecord, Mode


@dataclass(slots=True)
class PendingDecision:
    """A decision without its reward yet, with what every challenger would have done.

    actions: the k eligible ones. logged, expected, wanted: (k,) each. logged: probabilities of the
    policy that served. expected: utilities by its estimates. wanted: by member, its probabilities
    before it learned of this decision. taken: index of the chosen action.
    burden: what cost, latency and failure take off; None until the decision is settled.
    quality: None until there is feedback.
    """

    actions: tuple[str, ...]
    taken: int
    logged: tuple[float, ...]
    expected: tuple[float, ...]
    wanted: dict[str, tuple[float, ...]]
    quality_weight: float
    burden: float | None = None
    quality: float | None = None

    @property
    def reward(self) -> float | None:
        if self.burden is None or self.quality is None:
            return None
        return self.quality_weight * self.quality - self.burden

    def weighed(self, member: str, reward: float) -> Weighed:
        """Returns the evidence on a member. Raises KeyError for one that was not asked."""
        wanted = self.wanted[member]
        return Weighed(self.actions, self.logged, wanted, self.expected, self.taken, reward)


def is_evidence(record: DecisionRecord, choice: Choice, plans: Mapping[str, Plan]) -> bool:
    """Returns whether the record is logged for the first time and all its plans still exist.

    Where the champion only watched, its gains cannot be told from what the caller chose.
    """
    again = record.mode is Mode.DECIDE and record.settled
    known = plans.keys() >= {name for name, _ in choice.probabilities}
    return known and not again and choice.observed is None


def pending_of(choice: Choice, wanted: dict[str, tuple[float, ...]]) -> PendingDecision:
    """The reward model is the estimate of the policy that served: it can't know the outcome."""
    actions = tuple(name for name, _ in choice.probabilities)
    known = {name: utility for name, _, _, utility in choice.expected}
    return PendingDecision(
        actions=actions,
        taken=actions.index(choice.plan),
        logged=tuple(share for _, share in choice.probabilities),
        expected=tuple(known.get(name, 0.0) for name in actions),
        wanted=wanted,
        quality_weight=choice.weights.quality,
    )


def eligible_of(choice: Choice, plans: Mapping[str, Plan]) -> list[Action]:
    return [action_of(plans[name], choice.prices) for name, _ in choice.probabilities]


def weights_of(choice: Choice) -> Weights:
    logged = choice.weights
    return Weights(logged.quality, logged.cost, logged.latency, logged.failure)


def burden_of(
    record: DecisionRecord, choice: Choice, plans: Mapping[str, Plan], units: Units
) -> float | None:
    """Returns `settled_burden`, None for a call that was cancelled or never made."""
    if any(a.outcome is AttemptOutcome.CANCELLED for a in record.attempts):
        return None
    if not any(a.deployment for a in record.attempts):
        return None
    return settled_burden(record, choice, plans, units)


def settled_burden(
    record: DecisionRecord, choice: Choice, plans: Mapping[str, Plan], units: Units
) -> float:
    """Returns what is taken off the reward, in the weights of the decision.

    Its cost is the mean of this turn and of those that were expected to follow.
    """
    failed = float(not record.answered or record.arm not in plans[choice.plan].arms)
    cost_usd = max(0.0, record.cost_usd + action_of(plans[choice.plan], choice.prices).later_usd)
    return burden(weights_of(choice), units, cost_usd, record.latency_ms, failed)


@dataclass(slots=True)
class ContestState:
    """champion: who serves. previous: who did before a promotion, "" without a way back.

    since: position of the event that made the champion. prints: by member, the hash of the
    configuration it was made from. tallies: by other member, its gain over the champion. waiting:
    by decision id, the oldest first.
    """

    champion: str = BASE
    previous: str = ""
    since: str = "0"
    prints: dict[str, str] = field(default_factory=dict)
    tallies: dict[str, GainTally] = field(default_factory=dict)
    waiting: dict[str, PendingDecision] = field(default_factory=dict)


_decoder = msgspec.msgpack.Decoder(ContestState)


def write_state(state: ContestState) -> bytes:
    return msgspec.msgpack.encode(state)


def read_state(payload: bytes) -> ContestState:
    """Raises CorruptSnapshot."""
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError:
        raise CorruptSnapshot(
            "the snapshot's contest can't be read; go back to an older one"
        ) from None


def resumed(saved: ContestState, prints: dict[str, str]) -> ContestState:
    """Returns what is still valid for members configured as `prints` says, in their order.

    A member whose configuration changed starts with no evidence; so do all under a new champion.
    """
    champion = saved.champion if saved.champion in prints else BASE
    same = {name for name, print_ in prints.items() if saved.prints.get(name) == print_}
    kept = same if saved.champion in same else set()
    tallies = {n: saved.tallies.get(n, GainTally()) if n in kept else GainTally() for n in prints}
    del tallies[champion]
    waiting = saved.waiting if kept else {}
    for decision in waiting.values():
        decision.wanted = {n: shares for n, shares in decision.wanted.items() if n in kept}
    previous = saved.previous if saved.previous in prints and champion == saved.champion else ""
    return ContestState(champion, previous, saved.since, prints, tallies, waiting)
