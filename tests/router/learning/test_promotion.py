"""Promotion by evidence and by commands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bandit.errors import CorruptSnapshot
from bandit.offpolicy import LoggedDecisions, doubly_robust
from bandit.types import Units
from router.domain.events import Decided, Event, FeedbackGiven, Move, Mover, PolicyCommand
from router.domain.records import Mode, WeightSet
from router.learning.promotion import ChampionChallenger, ContestSettings
from router.learning.promotion_state import (
    ContestState,
    burden_of,
    eligible_of,
    read_state,
    resumed,
    write_state,
)
from tests.router.learning.contests import (
    FRUGAL,
    LAVISH,
    PLANS,
    TERMS,
    Town,
    contest,
    decided,
    mix,
    town,
)

BETTER = {"cheap": 0.5, "good": 0.85}
EQUAL = {"cheap": 0.7, "good": 0.7}
TURNED = {"cheap": 0.85, "good": 0.3}
EAGER = replace(TERMS, settings=ContestSettings(automatic=True, min_events=100, margin=0.0))
BY_HAND = replace(TERMS, settings=ContestSettings(min_events=200))


@pytest.mark.parametrize("seed", range(10))
def test_a_better_challenger_is_promoted(seed: int) -> None:
    lived = town(seed, bold=LAVISH)
    lived.live(600, BETTER)
    assert [(c.move, c.by, c.champion) for c in lived.changes] == [
        (Move.PROMOTED, Mover.EVIDENCE, "bold")
    ]
    found = lived.changes[0].found
    assert found is not None
    assert found.events >= TERMS.settings.min_events
    assert found.low is not None
    assert found.low > TERMS.settings.margin
    assert lived.contest.state.previous == "policy"


@pytest.mark.slow
def test_an_equal_challenger_is_not_promoted() -> None:
    promoted = 0
    for seed in range(100):
        lived = town(seed, EAGER, bold=LAVISH)
        lived.live(300, EQUAL)
        promoted += bool(lived.changes)
    assert promoted <= 5


@pytest.mark.parametrize("seed", range(10))
def test_a_promoted_policy_that_turns_bad_is_rolled_back(seed: int) -> None:
    lived = town(seed, bold=LAVISH)
    lived.live(600, BETTER)
    assert lived.contest.state.champion == "bold"
    lived.live(800, TURNED)
    assert [(c.move, c.by, c.champion) for c in lived.changes[1:]] == [
        (Move.ROLLED_BACK, Mover.GUARD, "policy")
    ]
    assert lived.contest.state.previous == ""


def test_a_contest_without_a_guard_rolls_nothing_back() -> None:
    terms = replace(TERMS, settings=replace(BY_HAND.settings, guard=False))
    lived = town(0, terms, bold=LAVISH)
    lived.hear(PolicyCommand(Move.PROMOTED, "bold"))
    lived.live(800, TURNED)
    assert lived.contest.state.champion == "bold"


def test_evidence_promotes_nobody_unless_automatic() -> None:
    lived = town(0, BY_HAND, bold=LAVISH)
    lived.live(600, BETTER)
    assert lived.changes == []
    (found,) = lived.contest.standings()
    assert found.low is not None
    assert found.low > TERMS.settings.margin


def test_gains_are_doubly_robust_estimates() -> None:
    lived = town(4, BY_HAND, bold=LAVISH)
    taken, rewards, logged, expected = [], [], [], []
    for step in range(200):
        event = lived.next()
        choice = event.record.choice
        assert choice is not None
        lived.hear(event)
        lived.hear(FeedbackGiven(event.record.id, quality := float(step % 3 == 0)))
        taken.append(choice.plan == "good")
        rewards.append(quality)
        logged.append([share for _, share in choice.probabilities])
        expected.append([utility for *_, utility in choice.expected])
    seen = LoggedDecisions(np.array(taken, dtype=np.intp), np.array(logged), np.array(rewards))
    wanted = np.tile([0.2, 0.8], (200, 1))
    wanted = 0.001 + (1 - 0.002) * wanted
    whole = doubly_robust(seen, wanted, np.array(expected), against=seen.probabilities)
    (found,) = lived.contest.standings()
    assert found.gain == pytest.approx(whole.values.mean())
    assert found.events == 200


def test_commands_are_executed_in_order_or_refused_with_a_reason() -> None:
    lived = town(0, BY_HAND, bold=LAVISH)
    told = [
        lived.hear(PolicyCommand(Move.ROLLED_BACK)),
        lived.hear(PolicyCommand(Move.PROMOTED, "nobody")),
        lived.hear(PolicyCommand(Move.PROMOTED, "policy")),
        lived.hear(PolicyCommand(Move.PROMOTED, "bold")),
        lived.hear(PolicyCommand(Move.ROLLED_BACK)),
        lived.hear(PolicyCommand(Move.ROLLED_BACK)),
    ]
    assert [(c.champion, c.refused) for c in told if c] == [
        ("policy", "nothing was promoted since the last rollback"),
        ("policy", "the learner's config has no such challenger"),
        ("policy", "it serves already"),
        ("bold", ""),
        ("policy", ""),
        ("policy", "nothing was promoted since the last rollback"),
    ]
    assert [c.cause for c in told if c] == [f"0-{n}" for n in range(1, 7)]


def test_decisions_of_another_member_are_no_evidence() -> None:
    lived = town(0, BY_HAND, bold=LAVISH)
    lived.live(10, BETTER)
    foreign = decided("x", "bold", mix(LAVISH))
    lived.hear(foreign)
    lived.hear(FeedbackGiven("x", 1.0))
    lived.hear(FeedbackGiven("never seen", 1.0))
    assert lived.contest.state.tallies["bold"].count == 10
    assert lived.contest.state.waiting == {}


def test_feedback_counts_once_and_waits_for_its_decision() -> None:
    lived = town(0, BY_HAND, bold=LAVISH)
    made = decided("d", "policy", mix(FRUGAL)).record
    open_ = replace(made, mode=Mode.DECIDE, attempts=(), settled=False)
    settled = replace(made, mode=Mode.DECIDE)
    for event in (Decided(open_), FeedbackGiven("d", 1.0)):
        lived.hear(event)
    assert lived.contest.state.tallies["bold"].count == 0
    for event in (Decided(settled), FeedbackGiven("d", 1.0), Decided(settled)):
        lived.hear(event)
    assert lived.contest.state.tallies["bold"].count == 1
    assert lived.contest.state.waiting == {}


def test_silence_is_no_evidence() -> None:
    lived = town(0, BY_HAND, bold=LAVISH)
    lived.hear(decided("d", "policy", mix(FRUGAL)))
    lived.hear(FeedbackGiven("d", 0.8, by_default=True))
    assert lived.contest.state.tallies["bold"].count == 0
    lived.hear(FeedbackGiven("d", 1.0))
    assert lived.contest.state.tallies["bold"].count == 1


def test_of_a_session_one_decision_is_evidence_on_average() -> None:
    lived, sessions, turns = town(0, BY_HAND, bold=LAVISH), 100, 5
    for n in range(sessions * turns):
        lived.hear(decided(f"d-{n}", "policy", mix(FRUGAL)))
    for n in range(sessions * turns):
        lived.hear(FeedbackGiven(f"d-{n}", 1.0, session_share=1 / turns))
    counted = lived.contest.state.tallies["bold"].count
    assert counted == pytest.approx(sessions, abs=40)
    again = FeedbackGiven("x", 1.0, session_share=1.0)
    lived.hear(decided("x", "policy", mix(FRUGAL)))
    lived.hear(again)
    assert lived.contest.state.tallies["bold"].count == counted + 1


def test_the_oldest_pending_decision_gives_way() -> None:
    terms = replace(TERMS, settings=replace(BY_HAND.settings, max_waiting=3))
    lived = town(0, terms, bold=LAVISH)
    for number in range(5):
        lived.hear(decided(f"d-{number}", "policy", mix(FRUGAL)))
    assert list(lived.contest.state.waiting) == ["d-2", "d-3", "d-4"]


def test_a_decision_among_removed_plans_is_no_evidence() -> None:
    lived = town(0, BY_HAND, bold=LAVISH)
    event = decided("d", "policy", mix(FRUGAL))
    assert event.record.choice is not None
    choice = replace(event.record.choice, probabilities=(("gone", 0.5), ("cheap", 0.5)))
    lived.hear(Decided(replace(event.record, choice=choice)))
    assert lived.contest.state.waiting == {}


def test_a_contest_continues_from_its_encoded_state() -> None:
    told = [*_script(), PolicyCommand(Move.PROMOTED, "bold"), *_script("bold")]
    whole, cut = contest(bold=LAVISH, calm=FRUGAL), contest(bold=LAVISH, calm=FRUGAL)
    for number, event in enumerate(told):
        whole = _heard(whole, number, event)
        cut = _heard(cut, number, event)
        state = resumed(read_state(write_state(cut.state)), dict(cut.state.prints))
        cut = ChampionChallenger(cut.policies, state, TERMS)
    assert write_state(cut.state) == write_state(whole.state)
    assert whole.state.champion == "bold"
    assert whole.state.waiting


def _heard(held: ChampionChallenger, number: int, event: Event) -> ChampionChallenger:
    lived = Town(held, 0, {})
    lived.events = number
    lived.hear(event)
    return held


def _script(member: str = "policy") -> list[Event]:
    serving = mix(FRUGAL, 1)
    events: list[Event] = []
    for number in range(40):
        name = f"{member}-{number}"
        events.append(decided(name, member, serving))
        if number % 3:
            events.append(FeedbackGiven(name, number % 2))
    return events


def test_only_members_configured_alike_keep_their_evidence() -> None:
    lived = town(0, BY_HAND, bold=LAVISH, calm=FRUGAL)
    lived.live(5, BETTER)
    lived.hear(decided("waits", "policy", mix(FRUGAL)))
    saved = write_state(lived.contest.state)
    same = {"policy": "as made", "bold": "otherwise", "new": "as made"}
    state = resumed(read_state(saved), same)
    assert {name: tally.count for name, tally in state.tallies.items()} == {"bold": 0, "new": 0}
    assert list(state.waiting["waits"].wanted) == []
    kept = resumed(read_state(saved), {"policy": "as made", "calm": "as made"})
    assert kept.tallies["calm"].count == 5
    assert list(kept.waiting["waits"].wanted) == ["calm"]
    other = resumed(read_state(saved), {"policy": "otherwise", "calm": "as made"})
    assert other.tallies["calm"].count == 0
    assert other.waiting == {}


def test_a_champion_removed_from_the_config_gives_way() -> None:
    lived = town(0, BY_HAND, bold=LAVISH, calm=FRUGAL)
    lived.hear(PolicyCommand(Move.PROMOTED, "bold"))
    state = resumed(lived.contest.state, {"policy": "as made", "calm": "as made"})
    assert (state.champion, state.previous) == ("policy", "")
    assert list(state.tallies) == ["calm"]


def test_invalid_bytes_of_a_contest_are_refused() -> None:
    for payload in (b"", b"rubbish", write_state(ContestState())[:-3]):
        with pytest.raises(CorruptSnapshot):
            read_state(payload)


def test_what_is_chosen_is_burdened_with_the_turns_to_come() -> None:
    """Reward models value them; what was paid this turn alone is not what they say."""
    event = decided("d", "policy", mix({"cheap": 1.0, "good": 1.0}))
    choice, attempt = event.record.choice, event.record.attempts[0]
    assert choice is not None
    record = replace(event.record, attempts=(replace(attempt, cost_usd=0.03),))
    costly = replace(choice, weights=WeightSet(1.0, 0.5, 0.0, 0.0))
    priced = replace(costly, prices=((choice.plan, 0.05, 0.02, 0.005),))
    found = [burden_of(record, one, PLANS, Units(0.01)) for one in (costly, priced)]
    assert found == pytest.approx([0.5 * 3.0, 0.5 * 1.5])
    assert [a.input_usd for a in eligible_of(priced, PLANS) if a.name == choice.plan] == [0.02]
