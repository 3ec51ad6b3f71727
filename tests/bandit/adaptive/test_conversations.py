"""What a whole request and its application add to a policy, and to one that never saw any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bandit import Action, Context, Policy, load_policy, make_policy
from bandit.context.view import ContextViewer
from bandit.models.vowpal_wabbit import Regressor
from bandit.settings import CONVERSATION
from bandit.types import Vector, Weights
from tests.bandit.streams import QUALITY_ONLY, SETTINGS, SHAPE, VERSION, actions, context, outcome

PLAIN = replace(SETTINGS, vw=frozenset())
ARMS = actions(2)


def asked(
    rng: np.random.Generator, application: int = 0, conversation: Vector | None = None
) -> Context:
    told = np.zeros(0) if conversation is None else conversation
    return replace(context(rng), application=application, conversation=told)


def make(seed: int = 0, *, vw: bool) -> Policy:
    return make_policy("adaptive", SETTINGS if vw else PLAIN, VERSION, np.random.default_rng(seed))


def teach_applications(policy: Policy, count: int, seed: int = 1) -> None:
    """Odd applications are good with action 1, even ones with action 0."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        application, action = int(rng.integers(1, 31)), int(rng.integers(2))
        quality = 0.85 if application % 2 == action else 0.45
        seen = asked(rng, application * 7_919)
        policy.learn([outcome(ARMS[action], seen, min(1.0, quality + 0.1 * float(rng.normal())))])


def right(policy: Policy) -> float:
    """Return how often the better action of an application is expected to be better."""
    rng, found = np.random.default_rng(2), []
    for application in range(1, 31):
        decision = policy.decide(asked(rng, application * 7_919), ARMS, QUALITY_ONLY)
        expected = [decision.estimates[arm.name].quality for arm in ARMS]
        found.append(int(np.argmax(expected)) == application % 2)
    return float(np.mean(found))


@pytest.mark.parametrize("vw", [False, True])
def test_a_policy_learns_which_action_an_application_likes(*, vw: bool) -> None:
    policy = make(vw=vw)
    teach_applications(policy, 600)
    assert right(policy) >= 0.9


@pytest.mark.parametrize("vw", [False, True])
def test_a_policy_learns_from_features_of_the_whole_request(*, vw: bool) -> None:
    policy, rng = make(vw=vw), np.random.default_rng(1)
    long, none = np.zeros(CONVERSATION), np.zeros(CONVERSATION)
    long[0] = 1.2
    for _ in range(400):
        is_long, action = bool(rng.integers(2)), int(rng.integers(2))
        seen = asked(rng, conversation=long if is_long else none)
        policy.learn([outcome(ARMS[action], seen, 0.9 if action == is_long else 0.5)])
    for told, better in ((none, 0), (long, 1)):
        decision = policy.decide(asked(rng, conversation=told), ARMS, QUALITY_ONLY)
        expected = [decision.estimates[arm.name].quality for arm in ARMS]
        assert expected[better] > expected[1 - better] + 0.2


def unlucky() -> Policy:
    """Action 1 had bad luck with the few outcomes there are of it."""
    policy, rng = make(vw=False), np.random.default_rng(3)
    for i in range(300):
        policy.learn([outcome(ARMS[0], asked(rng), float(i % 10 < 7))])
    for i in range(8):
        policy.learn([outcome(ARMS[1], asked(rng), float(i % 2))])
    return policy


def tried(policy: Policy, *, known: bool, dearer: float) -> float:
    """Return the mean probability of action 1. dearer: units of cost; known: before the call."""
    rng, units = np.random.default_rng(8), SETTINGS.units.cost_usd
    cheap = Action("a0", 1e-4, 5e-5 if known else 0.0)
    dear_usd = cheap.prior_cost_usd + dearer * units
    dear = Action("a1", dear_usd, dear_usd - 5e-5 if known else 0.0)
    weights = Weights(quality=1.0, cost=1.0, latency=0.0, failure=0.0)
    shares = [
        policy.decide(asked(rng), (cheap, dear), weights).probabilities["a1"] for _ in range(60)
    ]
    return float(np.mean(shares))


def test_bad_luck_with_few_outcomes_is_found_out_where_a_request_costs_little() -> None:
    policy = unlucky()
    cheap, dear = tried(policy, known=True, dearer=0.01), tried(policy, known=True, dearer=0.5)
    assert cheap > 0.06
    assert dear < 0.002
    assert tried(policy, known=False, dearer=0.01) < 0.7 * cheap


@pytest.mark.parametrize("vw", [False, True])
def test_a_restored_policy_that_knows_applications_goes_on_alike(*, vw: bool) -> None:
    one = make(vw=vw)
    teach_applications(one, 300)
    twin = load_policy(one.save(), SETTINGS if vw else PLAIN, VERSION)
    for policy in (one, twin):
        teach_applications(policy, 150, seed=3)
    rng = np.random.default_rng(4)
    seen = asked(rng, 7_919, np.linspace(-1, 1, CONVERSATION))
    decisions = [p.decide(seen, ARMS, QUALITY_ONLY) for p in (one, twin)]
    assert decisions[0] == decisions[1]
    assert one.save() == twin.save()


@pytest.mark.parametrize("vw", [False, True])
def test_a_policy_that_saw_single_questions_goes_on_with_whole_requests(*, vw: bool) -> None:
    """Its snapshot is as narrow as one of an earlier version."""
    old, rng = make(vw=vw), np.random.default_rng(5)
    for i in range(200):
        old.learn([outcome(ARMS[i % 2], asked(rng), float(rng.random()))])
    policy = load_policy(old.save(), SETTINGS if vw else PLAIN, VERSION)
    teach_applications(policy, 800)
    assert right(policy) >= 0.9
    seen = asked(rng, 3, np.ones(CONVERSATION))
    policy.learn([outcome(ARMS[0], seen, 0.5)])
    again = load_policy(policy.save(), SETTINGS if vw else PLAIN, VERSION)
    assert again.save() == policy.save()


def test_contexts_of_other_versions_know_fewer_or_more_features() -> None:
    viewer, rng = ContextViewer(SHAPE, VERSION), np.random.default_rng(6)
    seen, told = context(rng), np.linspace(0.1, 1, CONVERSATION + 3)
    short, long = (viewer.view(replace(seen, conversation=told[:n])) for n in (3, len(told)))
    assert short.conversation[:3].tolist() == told[:3].tolist()
    assert not short.conversation[3:].any()
    assert long.conversation.tolist() == told[:CONVERSATION].tolist()


def test_a_single_question_is_written_and_laid_out_as_before() -> None:
    viewer, seen = ContextViewer(SHAPE, VERSION), context(np.random.default_rng(7))
    plain = viewer.view(seen)
    zeros = viewer.view(replace(seen, conversation=np.zeros(CONVERSATION)))
    assert plain.text == zeros.text
    assert "|q" not in plain.text
    assert "|t" not in plain.text
    assert len(plain.x) == len(zeros.x) == 1 + SHAPE.clusters + SHAPE.features
    asks = viewer.view(replace(seen, application=0x7FFF_FFFF))
    assert asks.text == f"{plain.text} |t {(1 << 22) - 1}"


def test_a_vw_model_of_an_earlier_version_crosses_applications_from_the_first_one_on() -> None:
    old = Regressor(initial=0.5, low=0.0, high=1.0)
    text = "|c 0:1.0000 |e 0:0.1000 |p 0:0.1000"
    for i in range(40):
        old.learn(text, i % 2, float(i % 2), 1.0)
    model = Regressor(initial=0.5, low=0.0, high=1.0, model=old.save())
    before = model.predict(text, [0, 1])
    for _ in range(100):
        for slot, application in ((0, 1), (1, 2)):
            model.learn(f"{text} |t {application}", slot, 1.0, 1.0)
            model.learn(f"{text} |t {application}", 1 - slot, 0.0, 1.0)
    for made in (model, Regressor(initial=0.5, low=0.0, high=1.0, model=model.save())):
        told = [made.predict(f"{text} |t {application}", [0, 1]) for application in (1, 2)]
        assert told[0][0] > told[0][1] + 0.5
        assert told[1][1] > told[1][0] + 0.5
    assert before[1] > before[0]
