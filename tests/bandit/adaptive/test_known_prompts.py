"""Prompts of which every action is known: what `adaptive` makes of them, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from streams import QUALITY_ONLY, SETTINGS, VERSION, actions, context, outcome

from bandit import Action, Outcome, Policy, PolicySettings, Weights, load_policy, make_policy
from bandit.adaptive.policy import AdaptivePolicy
from bandit.errors import BadOutcome
from bandit.settings import EvidenceUse
from bandit.snapshots.codec import unpack

LINEAR = replace(SETTINGS, vw=frozenset(), trees=0)
NO_USE = EvidenceUse(effects=False, axes=0.0, joint=0.0, narrow=1.0, margin=0.0, trees=True)
Quality = Callable[[str, int], float]


def alike(action: str, _kind: int) -> float:
    """Actions that differ by next to nothing, and nowhere more than elsewhere."""
    return {"a0": 0.70, "a1": 0.72, "a2": 0.68}[action]


def apart(action: str, kind: int) -> float:
    """Each is good where the other is not."""
    return {"a0": 0.9 if kind % 2 else 0.3, "a1": 0.3 if kind % 2 else 0.9, "a2": 0.5}[action]


def fresh(settings: PolicySettings = LINEAR, seed: int = 1) -> AdaptivePolicy:
    made = make_policy("adaptive", settings, VERSION, np.random.default_rng(seed))
    assert isinstance(made, AdaptivePolicy)
    return made


def prompt(
    number: int, quality: Quality, seed: int, choices: Sequence[Action], *, known: bool = True
) -> list[Outcome]:
    """Outcomes of every action on one prompt, which may be hard for all of them."""
    rng = np.random.default_rng([seed, number])
    kind = int(rng.integers(4))
    seen, luck = context(rng, kind), rng.random()
    made = [
        outcome(action, seen, float(luck < quality(action.name, kind)), 1.0) for action in choices
    ]
    place = (number, len(choices)) if known else (0, 0)
    return [replace(each, prompt=place[0], of=place[1]) for each in made]


def taught(
    policy: Policy, count: int, quality: Quality, *, known: bool = True, seed: int = 0
) -> None:
    for number in range(1, count + 1):
        policy.learn(prompt(number, quality, seed, actions(3), known=known))


def shares(policy: Policy, kind: int | None = None, weights: Weights = QUALITY_ONLY) -> np.ndarray:
    rng = np.random.default_rng(9)
    asked = [context(rng, kind) for _ in range(60)]
    found = [policy.decide(seen, actions(3), weights).probabilities for seen in asked]
    return np.array([[each[a.name] for a in actions(3)] for each in found])


def test_without_known_prompts_their_use_makes_no_difference() -> None:
    saved = []
    for use in (EvidenceUse(), NO_USE, EvidenceUse(joint=0.4, sparing=False, margin=0.3)):
        policy = fresh(replace(LINEAR, evidence=use))
        taught(policy, 120, apart, known=False)
        asked = shares(policy)
        saved.append((policy.save(), asked.tobytes()))
    assert saved[0] == saved[1] == saved[2]


def test_too_few_known_prompts_make_no_difference_to_choices_but_by_their_projections() -> None:
    """Sums hold the projection from the first of them, for it can't be added later."""
    blind = replace(LINEAR, evidence=EvidenceUse(axes=0.0))
    known, plain = fresh(blind), fresh(blind)
    taught(known, 29, apart)
    taught(plain, 29, apart, known=False)
    assert (known.known_prompts, plain.known_prompts) == (29, 0)
    assert shares(known).tobytes() == shares(plain).tobytes()


@pytest.mark.parametrize(("prompts", "narrower"), [(7, False), (20, True)])
def test_few_prompts_narrow_draws_where_more_are_bought(*, prompts: int, narrower: bool) -> None:
    """What they mislead about is asked again beside requests, and else never."""
    found = []
    for bought, narrow in ((True, 0.5), (True, 1.0), (False, 0.5)):
        use = EvidenceUse(axes=0.0, bought=bought, narrow=narrow)
        policy = fresh(replace(LINEAR, evidence=use))
        taught(policy, prompts, alike)
        found.append(shares(policy))
    assert np.array_equal(found[1], found[2])
    more = [np.sort(each, axis=1).mean(axis=0)[-1] for each in found[:2]]
    assert (more[0] > more[1] + 0.05) == narrower


@pytest.mark.parametrize("part", ["effects", "axes", "joint", "narrow", "margin"])
def test_each_part_may_be_left_out(part: str) -> None:
    weights, found = Weights(1.0, 0.3, 0.0, 0.0), []
    for use in (NO_USE, replace(NO_USE, **{part: getattr(EvidenceUse(), part)})):
        policy = fresh(replace(LINEAR, evidence=use))
        for number in range(1, 131):
            told = prompt(number, alike, 3, actions(3))
            dear = 1 + float(told[0].context.membership[0])
            policy.learn([replace(o, cost_usd=0.001 * dear) for o in told])
        found.append(shares(policy, weights=weights))
    assert abs(found[0] - found[1]).max() > 0.01


@pytest.mark.parametrize("trees", [True, False])
def test_trees_are_listened_to_where_they_are_wanted(*, trees: bool) -> None:
    settings = replace(SETTINGS, vw=frozenset(), trees=10)
    saved = []
    for use in (EvidenceUse(trees=trees), EvidenceUse(trees=not trees)):
        policy = fresh(replace(settings, evidence=use))
        taught(policy, 200, apart)
        saved.append(shares(policy))
        added = unpack(policy.save()).arrays["quality.trees.added"]
        assert added == (600 if use.trees else 299)
    assert saved[0].tobytes() != saved[1].tobytes()


def test_small_differences_do_not_lead_away_from_the_best_action() -> None:
    policy, plain = fresh(), fresh(replace(LINEAR, evidence=NO_USE))
    for each in (policy, plain):
        taught(each, 300, alike)
    best = shares(policy).mean(axis=0)
    assert best.max() > 0.95
    assert best.max() > shares(plain).mean(axis=0).max()


@pytest.mark.parametrize("kind", range(4))
def test_large_differences_are_followed(kind: int) -> None:
    policy = fresh()
    taught(policy, 300, apart)
    assert shares(policy, kind).mean(axis=0)[(kind + 1) % 2] > 0.9


def test_probabilities_stay_honest() -> None:
    policy = fresh()
    taught(policy, 200, apart)
    rng, taken = np.random.default_rng(5), []
    seen = context(rng, 0)
    for _ in range(300):
        decision = policy.decide(seen, actions(3), QUALITY_ONLY)
        given = list(decision.probabilities.values())
        assert sum(given) == pytest.approx(1.0)
        assert min(given) >= LINEAR.floor / 10 - 1e-12
        assert decision.propensity == decision.probabilities[decision.action]
        taken.append((decision.action, decision.probabilities))
    for name in ("a0", "a1", "a2"):
        expected = sum(given[name] for _, given in taken)
        assert sum(a == name for a, _ in taken) == pytest.approx(expected, abs=4 * 300**0.5)


@pytest.mark.parametrize("cut", [50, 100, 101, 180])
def test_a_policy_saved_in_the_middle_goes_on_bit_for_bit(cut: int) -> None:
    whole, half = fresh(), fresh()
    told = [prompt(number, apart, 0, actions(3)) for number in range(1, 201)]
    for outcomes in told:
        whole.learn(outcomes)
    for outcomes in told[:cut]:
        half.learn(outcomes)
    half.learn(told[cut][:1])
    restored = load_policy(half.save(), LINEAR, VERSION)
    restored.learn(told[cut][1:])
    for outcomes in told[cut + 1 :]:
        restored.learn(outcomes)
    assert restored.save() == whole.save()
    assert shares(restored).tobytes() == shares(whole).tobytes()


def test_a_dear_request_is_not_sent_to_the_usual_best() -> None:
    """The known part of a price is today's, also where the best on average is asked for."""
    policy = fresh()
    taught(policy, 300, alike)
    seen = context(np.random.default_rng(6))
    weights = Weights(1.0, 0.5, 0.0, 0.0)
    best = policy.decide(seen, actions(3), weights)
    usual = max(best.probabilities, key=best.probabilities.__getitem__)
    dear = [
        replace(a, prior_cost_usd=a.prior_cost_usd + 0.02, input_usd=0.02) if a.name == usual else a
        for a in actions(3)
    ]
    assert policy.decide(seen, dear, weights).probabilities[usual] < 0.05


def test_a_best_action_that_fails_silently_is_left() -> None:
    policy, rng = fresh(), np.random.default_rng(7)
    taught(policy, 300, lambda a, _: {"a0": 0.6, "a1": 0.9, "a2": 0.5}[a])
    served = []
    for _ in range(300):
        seen = context(rng)
        decision = policy.decide(seen, actions(3), QUALITY_ONLY)
        served.append(decision.action)
        mean = {"a0": 0.6, "a1": 0.2, "a2": 0.5}[decision.action]
        chosen = next(a for a in actions(3) if a.name == decision.action)
        drawn = float(rng.random() < mean)
        policy.learn([outcome(chosen, seen, drawn, decision.propensity)])
    assert served[:5].count("a1") > 3
    assert served[-100:].count("a0") > 60
    assert served[60:].count("a1") < 40


def test_an_action_that_joins_later_is_found() -> None:
    policy, rng = fresh(), np.random.default_rng(8)
    for number in range(1, 301):
        policy.learn(prompt(number, alike, 8, actions(3)))
    served = []
    for _ in range(600):
        seen = context(rng)
        decision = policy.decide(seen, actions(4), QUALITY_ONLY)
        served.append(decision.action)
        mean = 0.95 if decision.action == "a3" else alike(decision.action, 0)
        chosen = next(a for a in actions(4) if a.name == decision.action)
        drawn = float(rng.random() < mean)
        policy.learn([outcome(chosen, seen, drawn, decision.propensity)])
    assert served[-200:].count("a3") > 150


def test_what_was_learned_of_known_prompts_can_be_limited_and_corrected() -> None:
    policy = fresh()
    taught(policy, 150, apart)
    before = shares(policy).argmax(axis=1)
    wrong = prompt(151, apart, 0, actions(3))
    policy.learn(wrong)
    policy.learn([replace(wrong[0], quality=0.5, replaces=wrong[0].quality, prompt=0, of=0)])
    policy.limit(60.0)
    assert (shares(policy).argmax(axis=1) == before).mean() > 0.8
    again = load_policy(policy.save(), LINEAR, VERSION)
    assert shares(again).shape == (60, 3)


@pytest.mark.parametrize(("number", "of"), [(-1, 3), (2**53, 3), (5, 1), (5, 257), (5, 0)])
def test_an_outcome_of_no_possible_prompt_is_refused(number: int, of: int) -> None:
    told = prompt(1, alike, 0, actions(3))
    with pytest.raises(BadOutcome):
        fresh().learn([replace(told[0], prompt=number, of=of)])


def test_known_prompts_may_come_in_the_middle_of_traffic() -> None:
    """Costs before them are taken for each action's usual ones; later ones may not be told."""
    policy, rng, weights = fresh(), np.random.default_rng(10), Weights(1.0, 1.0, 0.0, 0.0)
    for step in range(900):
        if step % 5 == 4 and step > 300:
            policy.learn(prompt(step, apart, 10, actions(3)))
        kind = int(rng.integers(4))
        seen = context(rng, kind)
        decision = policy.decide(seen, actions(3), weights)
        chosen = next(a for a in actions(3) if a.name == decision.action)
        told = outcome(chosen, seen, float(rng.random() < apart(chosen.name, kind)))
        policy.learn([replace(told, quality=None)])
        policy.learn([replace(told, cost_usd=None, latency_ms=None, failed=None)])
    assert policy.known_prompts == 120
    asked = policy.decide(context(rng, 0), actions(3), weights)
    for action in actions(3):
        expected = 1.5 * action.prior_cost_usd
        assert asked.estimates[action.name].cost_usd == pytest.approx(expected, rel=0.1)
    assert load_policy(policy.save(), LINEAR, VERSION).save() == policy.save()
    for kind in range(4):
        assert shares(policy, kind, weights).mean(axis=0)[(kind + 1) % 2] > 0.8


def test_a_price_that_changed_is_learned_beside_known_prompts() -> None:
    policy, rng = fresh(), np.random.default_rng(11)
    taught(policy, 300, alike)
    weights, found = Weights(1.0, 1.0, 0.0, 0.0), []
    for _ in range(150):
        seen = context(rng)
        decision = policy.decide(seen, actions(3), weights)
        action = actions(3)[0]
        told = outcome(action, seen, float(rng.random() < alike("a0", 0)))
        policy.learn([replace(told, cost_usd=6.0 * action.prior_cost_usd)])
        found.append(decision.estimates["a0"].cost_usd / action.prior_cost_usd)
    assert found[0] == pytest.approx(1.5, rel=0.1)
    assert found[-1] == pytest.approx(6.0, rel=0.2)


def behind(action: str, _kind: int) -> float:
    return {"a0": 0.8, "a1": 0.78, "a2": 0.72}[action]


def test_an_action_that_prompts_showed_behind_is_not_tried_again_for_its_width() -> None:
    """Who buys evidence asks it no more; one that was never compared is tried all the same."""
    found = []
    for compared in (True, False):
        policy = fresh()
        for number in range(1, 221):
            choices = actions(3) if number <= 25 else actions(2)
            *others, last = prompt(number, behind, 5, choices)
            alone = [replace(o, of=2) for o in others] + [replace(last, prompt=0, of=0)]
            is_split = len(choices) == 3 and not compared
            policy.learn(alone if is_split else [*others, last])
        found.append(shares(policy)[:, 2].mean())
    assert found[0] < 0.005
    assert found[1] > 0.01
