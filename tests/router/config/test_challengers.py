"""Challengers: what they inherit, and every mistake with its line and its fix."""

from __future__ import annotations

import pytest

from router.config import Config, parse_config
from router.config.values import catalog_of, context_map_of, members_of, settings_of
from router.domain.errors import ConfigInvalid
from tests.router.config.test_mistakes import WELL_FORMED, only_problem, problems

ENV = {"CHEAP_KEY": "made-up-key"}


def config(more: str) -> Config:
    return parse_config(WELL_FORMED + more, "router.yaml", ENV)


def test_a_challenger_is_the_policy_but_for_what_it_overrides() -> None:
    made = config(
        "policy: {exploration_floor: 0.02, linucb: {ridge: 4}}\n"
        "challengers:\n"
        "  lin: {name: linucb}\n"
        "  bold: {draw_width: 1.5, vowpal_wabbit: []}\n"
    )
    members = members_of(made)
    assert list(members) == ["policy", "lin", "bold"]
    assert members["policy"] is made.policy
    assert (members["lin"].name, members["lin"].linucb.ridge) == ("linucb", 4)
    assert members["bold"].exploration_floor == 0.02
    told = made.model_copy(update={"policy": members["bold"]})
    settings = settings_of(told, catalog_of(told), context_map_of(told))
    assert (settings.scale, settings.vw) == (1.5, frozenset())
    assert (settings.floor, settings.thrifty) == (0.02, False)


def test_promotion_is_by_hand_unless_the_config_says_otherwise() -> None:
    assert not config("").promotion.automatic
    assert config("promotion: {automatic: yes}\n").promotion.automatic


@pytest.mark.parametrize(
    ("written", "key", "words"),
    [
        ("{a: {name: linucbb}}", "challengers.a.name", "write one of 'adaptive'"),
        ("{a: {linucb: {alfa: 1}}}", "challengers.a.linucb.alfa", "did you mean alpha?"),
        ("{a: {}}", "challengers.a", "write what differs"),
        ("{policy: {name: linucb}}", "challengers.policy", "choose another name"),
        ("{'a b': {name: linucb}}", "challengers.a b", "letters, digits"),
        ("{a: {weights: {cost: 1}}}", "challengers.a.weights", "the same for all"),
        ("{a: {context_map: x}}", "challengers.a.context_map", "the same for all"),
        ("{a: {covered_arms: offered}}", "challengers.a.covered_arms", "the same for all"),
        ("{a: {name: fixed}}", "challengers.a.fixed", "name the plan"),
        ("{a: {name: fixed, fixed: cheep}}", "challengers.a.fixed", "did you mean cheap?"),
        ("{a: {name: intent}}", "challengers.a.name", "learners embed no examples"),
        ("{a: 3}", "challengers.a", "keys and values"),
        (
            "{a: {seed: 1}, b: {seed: 2}, c: {seed: 3}, d: {seed: 4}, e: {seed: 5}}",
            "challengers",
            "at most 4",
        ),
    ],
)
def test_one_mistake_one_fix(written: str, key: str, words: str) -> None:
    found = [p for p in problems(f"{WELL_FORMED}challengers: {written}\n") if p.key == key]
    assert len(found) == 1
    assert words in found[0].fix
    assert found[0].line == WELL_FORMED.count("\n") + 1


def test_a_mistake_of_the_policy_is_not_told_again_for_its_challengers() -> None:
    text = "policy: {cold_start: cheep}\nchallengers: {a: {seed: 1}}\n"
    assert only_problem(WELL_FORMED + text).key == "policy.cold_start"


def test_a_policy_that_learners_cannot_ask_has_no_challengers() -> None:
    policy = "policy: {name: intent, intent: {examples: {cheap: [hello]}}}\n"
    found = only_problem(WELL_FORMED + policy + "challengers: {a: {name: linucb}}\n")
    assert found.key == "policy.name"


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("{min_events: 5}", "min_events"),
        ("{margin: -1}", "margin"),
        ("{confidence: 1}", "confidence"),
        ("{automatic: maybe}", "automatic"),
        ("{max_waiting: 1}", "max_waiting"),
    ],
)
def test_promotion_out_of_range(written: str, key: str) -> None:
    with pytest.raises(ConfigInvalid, match=f"promotion.{key}: write"):
        config(f"promotion: {written}\n")
