"""What of a cost is known before the call is taken as it is, and the rest is learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from streams import SETTINGS, VERSION, context, taught

from bandit import POLICY_NAMES, Action, Outcome, Policy, Weights, make_policy
from bandit.adaptive.beliefs import beliefs_of
from bandit.errors import BadAction, BadOutcome

WARM, COLD, GUESS = 0.001, 0.01, 0.002
COSTLY = Weights(cost=0.5, failure=0.0)


def fresh(name: str = "adaptive") -> Policy:
    return make_policy(name, SETTINGS, VERSION, np.random.default_rng(1))


def at(input_usd: float, ahead_usd: float | None = None, name: str = "a0") -> Action:
    return Action(name, input_usd + GUESS, input_usd, ahead_usd)


def paid(action: Action, input_usd: float | None, guessed_usd: float) -> Outcome:
    seen, cost_usd = context(np.random.default_rng(0), 0), (input_usd or 0.0) + guessed_usd
    if input_usd is None:
        cost_usd += action.input_usd
    return Outcome(action, seen, cost_usd=cost_usd, input_usd=input_usd, quality=0.7)


def expected_usd(policy: Policy, action: Action) -> float:
    seen = context(np.random.default_rng(0), 0)
    return policy.decide(seen, [action], COSTLY).estimates[action.name].cost_usd


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_an_input_that_is_warm_or_cold_by_turns_says_nothing_of_the_guess(name: str) -> None:
    policy = fresh(name)
    for turn in range(300):
        # Whatever was expected to be warm, each second call misses the cache.
        action = at(WARM if turn % 3 else COLD)
        policy.learn([paid(action, COLD if turn % 2 else WARM, 1.5 * GUESS)])
    for input_usd in (WARM, COLD, 0.0):
        assert expected_usd(policy, at(input_usd)) == pytest.approx(
            input_usd + 1.5 * GUESS, rel=0.05
        )


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_a_price_that_changes_acts_at_once(name: str) -> None:
    policy = fresh(name)
    policy.learn([paid(at(WARM), WARM, GUESS) for _ in range(50)])
    before = expected_usd(policy, at(WARM))
    dearer = Action("a0", 0.05 + 3 * GUESS, 0.05)
    assert expected_usd(policy, dearer) == pytest.approx(0.05 + 3 * (before - WARM))


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_where_only_the_sum_is_known_the_input_is_taken_to_cost_what_was_expected(
    name: str,
) -> None:
    one, other = fresh(name), fresh(name)
    for _ in range(50):
        one.learn([paid(at(COLD), None, GUESS)])
        other.learn([paid(at(COLD), COLD, GUESS)])
    assert expected_usd(one, at(WARM)) == expected_usd(other, at(WARM))


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_a_cost_below_its_input_is_learned_as_next_to_nothing(name: str) -> None:
    policy = fresh(name)
    for _ in range(50):
        policy.learn([replace(paid(at(COLD), COLD, 0.0), cost_usd=WARM)])
    assert COLD <= expected_usd(policy, at(COLD)) < COLD + 0.2 * GUESS


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_utility_counts_the_turns_to_come_and_cost_this_turn_alone(name: str) -> None:
    policy, seen = fresh(name), context(np.random.default_rng(0), 0)
    for _ in range(50):
        policy.learn([paid(at(COLD), COLD, GUESS)])
    alone, ahead = (
        policy.decide(seen, [action], COSTLY).estimates["a0"]
        for action in (at(COLD), at(COLD, ahead_usd=WARM))
    )
    assert ahead.cost_usd == alone.cost_usd
    gained = COSTLY.cost * (COLD - WARM) / SETTINGS.units.cost_usd
    assert ahead.utility == pytest.approx(alone.utility + gained)


def by_kind(action: str, kind: int) -> float:
    return 0.9 if action == f"a{kind % 3}" else 0.3


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_prices_without_a_known_part_decide_as_they_always_did(name: str) -> None:
    plain, told = (
        [Action(f"a{i}", 0.001 * (i + 1), *more) for i in range(3)] for more in ((), (0.0, 0.0))
    )
    seen, decided = context(np.random.default_rng(2)), []
    for choices in (plain, told):
        policy = fresh(name)
        taught(policy, by_kind, 100, choices=choices)
        decided.append(policy.decide(seen, choices, COSTLY))
    assert decided[0] == decided[1]


def test_only_the_guess_of_a_cost_is_uncertain() -> None:
    policy, seen = fresh(), context(np.random.default_rng(0), 0)
    for _ in range(50):
        policy.learn([paid(at(COLD), COLD, GUESS)])
    (belief,) = beliefs_of(policy, seen, [at(COLD)], COSTLY)
    assert belief.cost_usd is not None
    assert COLD < belief.cost_usd.low < belief.cost_usd.mean < belief.cost_usd.high < 2 * COLD


@pytest.mark.parametrize(
    "bad",
    [
        Action("a0", 0.01, input_usd=0.01),
        Action("a0", 0.01, input_usd=-0.001),
        Action("a0", 0.01, input_usd=float("nan")),
        Action("a0", 0.01, 0.001, ahead_usd=-0.001),
        Action("a0", 0.01, 0.001, ahead_usd=float("inf")),
        Action("a0", 0.01, 0.001, ahead_usd=float("nan")),
    ],
)
def test_a_price_that_cannot_be_is_refused(bad: Action) -> None:
    policy, seen = fresh(), context(np.random.default_rng(0), 0)
    with pytest.raises(BadAction):
        policy.decide(seen, [bad], COSTLY)
    with pytest.raises(BadAction):
        policy.learn([Outcome(bad, seen, cost_usd=0.01)])
    assert policy.learned == 0


@pytest.mark.parametrize("input_usd", [-1.0, float("inf"), float("nan")])
def test_an_input_that_cannot_have_been_paid_is_refused(input_usd: float) -> None:
    seen = context(np.random.default_rng(0), 0)
    with pytest.raises(BadOutcome, match="input_usd"):
        fresh().learn([Outcome(at(WARM), seen, cost_usd=0.01, input_usd=input_usd)])
