"""Every policy can be named in the config, told what it needs, and is refused what it can't use."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from bandit import POLICY_NAMES, Context, ContextMap, PromptFacts, Weights, make_policy
from bandit.policies.cluster_table import ClusterTableOptions
from bandit.policies.knn import KnnOptions
from bandit.policies.linucb import LinucbOptions
from bandit.policies.pair_classifier import PairClassifierOptions
from bandit.policies.random_mix import RandomMixOptions
from bandit.registry import POLICY_OPTIONS
from bandit.settings import PolicySettings
from router.app.learner_state_factory import LearnerStateFactory
from router.config import parse_config
from router.config.policy_checks import plans_named
from router.config.policy_schema import PolicyName
from router.config.values import catalog_of, context_map_of, settings_of
from router.domain.errors import ConfigInvalid, ConfigProblem
from router.domain.logged_context import action_of

ARMS = """\
arms:
  cheap: {deployments: [{name: a, provider: openai, model: m, price: {input_usd_per_mtok: 0.1, output_usd_per_mtok: 1}}]}
  reasoning: {deployments: [{name: b, provider: openai, model: n, price: {input_usd_per_mtok: 3, output_usd_per_mtok: 9}}]}
policy:
"""  # noqa: E501 - one line of YAML
MAP = ContextMap.default()
NEEDS = {
    "fixed": "  fixed: reasoning\n",
    "length": "  length: [{plan: cheap}, {plan: reasoning, min_characters: 100}]\n",
    "rules": "  rules: [{plan: reasoning, when: {code: true}}]\n  default_plan: cheap\n",
    "intent": "  intent: {examples: {reasoning: [Prove it.]}}\n  default_plan: cheap\n",
}


def settings(
    policy: str, examples: dict[str, list[Context]] | None = None
) -> tuple[str, PolicySettings]:
    config = parse_config(ARMS + policy, "router.yaml", {})
    return config.policy.name, settings_of(config, catalog_of(config), MAP, examples or {})


def wanted(
    policy: str, facts: PromptFacts, examples: dict[str, list[Context]] | None = None
) -> str:
    name, told = settings(policy, examples)
    catalog = catalog_of(parse_config(ARMS + policy, "router.yaml", {}))
    choices = [action_of(plan) for plan in catalog.plans.values()]
    made = make_policy(name, told, MAP.version, np.random.default_rng(0))
    shares = made.decide(built(facts), choices, Weights()).probabilities
    return max(shares, key=shares.__getitem__)


def built(facts: PromptFacts, seed: int = 0) -> Context:
    point = np.random.default_rng(seed).normal(size=MAP.centre.shape).astype(np.float32)
    return MAP.build(point / np.float32(np.linalg.norm(point)), facts)


def problems(policy: str) -> list[ConfigProblem]:
    with pytest.raises(ConfigInvalid) as caught:
        parse_config(ARMS + policy, "router.yaml", {})
    return list(caught.value.problems)


def test_the_config_knows_every_policy() -> None:
    assert sorted(get_args(PolicyName)) == sorted(POLICY_NAMES)


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_every_policy_decides_as_configured(name: str) -> None:
    assert wanted(f"  name: {name}\n{NEEDS.get(name, '')}", PromptFacts("Hello."))


def test_options_that_are_not_written_are_the_policies_own() -> None:
    told = settings("  name: knn\n")[1]
    assert {type(options) for options in told.options} == set(POLICY_OPTIONS.values())
    assert all(options == type(options)() for options in told.options)


def test_rules_in_natural_units() -> None:
    policy = """\
  name: rules
  rules:
    - {plan: reasoning, when: {code: true, min_characters: 60}}
    - {plan: cheap-then-reasoning, when: {min_turns: 3}}
    - {plan: cheap-then-reasoning, when: {json: true}}
  default_plan: cheap
"""
    code = "Write python code that sorts a list of words by their length."
    assert wanted(policy, PromptFacts(code)) == "reasoning"
    assert wanted(policy, PromptFacts("Write python code.")) == "cheap"
    assert wanted(policy, PromptFacts("Go on.", turns=3)) == "cheap-then-reasoning"
    assert wanted(policy, PromptFacts("Go on.", turns=2)) == "cheap"
    assert wanted(policy, PromptFacts("As JSON.", wants_json=True)) == "cheap-then-reasoning"


def test_the_default_plan_need_not_be_the_first() -> None:
    policy = "  name: rules\n  rules: [{plan: cheap, when: {code: true}}]\n"
    chosen = wanted(policy + "  default_plan: reasoning\n", PromptFacts("Hello."))
    assert chosen == "reasoning"


def test_tiers_in_characters() -> None:
    policy = "  name: length\n  length: [{plan: cheap}, {plan: reasoning, min_characters: 100}]\n"
    assert wanted(policy, PromptFacts("x" * 99)) == "cheap"
    assert wanted(policy, PromptFacts("x" * 100)) == "reasoning"


def test_weights_of_a_mix_and_options_of_learners_pass_through() -> None:
    told = settings(
        "  random_mix: {cheap: 3, reasoning: 1}\n"
        "  knn: {neighbours: 9, memory: 300, shrink: 2}\n"
        "  linucb: {alpha: 0.7, ridge: 2}\n"
        "  cluster_table: {shrink: 4}\n"
        "  pair_classifier: {plans: [cheap, reasoning], trees: 10, depth: 4, refit_every: 50}\n"
    )[1]
    assert told.options_of(RandomMixOptions).weights == {"cheap": 3, "reasoning": 1}
    knn, linucb = told.options_of(KnnOptions), told.options_of(LinucbOptions)
    assert (knn.neighbours, knn.memory, knn.shrink) == (9, 300, 2)
    assert (linucb.alpha, linucb.ridge) == (0.7, 2)
    assert told.options_of(ClusterTableOptions).shrink == 4
    pair = told.options_of(PairClassifierOptions)
    assert (pair.actions, pair.trees, pair.depth) == (("cheap", "reasoning"), 10, 4)
    assert (pair.refit_every, pair.memory) == (50, 4_000)


def test_examples_of_an_intent_are_handed_in_embedded() -> None:
    examples = {"reasoning": [built(PromptFacts("Prove it."), seed=0)]}
    policy = f"  name: intent\n{NEEDS['intent']}"
    assert wanted(policy, PromptFacts("Prove that."), examples) == "reasoning"
    examples = {"reasoning": [built(PromptFacts("Prove it."), seed=1)]}
    assert wanted(policy, PromptFacts("Prove that."), examples) == "cheap"


def test_every_mistake_has_its_line_and_its_fix() -> None:
    text = """\
  name: rules
  rules:
    - {plan: reasoning, when: {code: true, min_characters: 300}}
    - {plan: raesoning, when: {min_characters: 20000}}
    - {plan: cheap, when: {max_turn: 2, json: 1}}
    - {plan: cheap}
    - {plan: cheap, when: {}}
  length:
    - {plan: cheap}
    - {plan: reasoning, min_characters: 0}
    - {plan: slow, min_characters: 30000}
  random_mix: {cheap: 0, other: 0}
  pair_classifier: {plans: [cheap, cheap]}
  intent: {examples: {foo: [x], cheap: []}, treshold: 2}
  default_plan: nope
  fixed: cheep
"""
    plans = "name one of the plans: cheap, reasoning, cheap-then-reasoning"
    found = [(p.line, p.key.removeprefix("policy."), p.fix) for p in problems(text)]
    assert found == [
        (8, "rules.1.plan", f"{plans}; did you mean reasoning?"),
        (
            8,
            "rules.1.when.min_characters",
            "write at most 10485: contexts do not tell larger numbers apart",
        ),
        (9, "rules.2.when.json", "write true or false"),
        (9, "rules.2.when.max_turn", "no such condition: did you mean max_turns?"),
        (10, "rules.3.when", "add this key"),
        (11, "rules.4.when", "list at least 1"),
        (14, "length.1.min_characters", "write more than 0: tiers stand in rising order"),
        (
            15,
            "length.2.min_characters",
            "write at most 10485: contexts do not tell larger numbers apart",
        ),
        (15, "length.2.plan", plans),
        (16, "random_mix", "give at least one plan a weight > 0"),
        (16, "random_mix.other", plans),
        (17, "pair_classifier.plans.1", "name two different plans"),
        (18, "intent.examples.cheap", "list at least 1"),
        (18, "intent.examples.foo", plans),
        (18, "intent.treshold", "no such key: did you mean threshold?"),
        (19, "default_plan", plans),
        (20, "fixed", f"{plans}; did you mean cheap?"),
    ]


@pytest.mark.parametrize(
    ("policy", "key", "words"),
    [
        ("name: fixed", "fixed", "name the plan"),
        ("name: length", "length", "list at least 1"),
        ("name: rules", "rules", "list at least 1"),
        ("name: intent", "intent.examples", "some example utterances"),
        ("random_mix: {cheap: -1}", "random_mix.cheap", ">= 0"),
        ("length: [{plan: cheap, min_characters: true}]", "length.0.min_characters", "whole"),
        ("length: [{min_characters: 3}]", "length.0.plan", "add this key"),
        ("length: cheap", "length", "write a list"),
        ("rules: [cheap]", "rules.0", "keys and values"),
        ("rules: [{plan: cheap, when: code}]", "rules.0.when", "keys and values"),
        ("pair_classifier: {plans: [cheap]}", "pair_classifier.plans", "at least 2"),
        ("pair_classifier: {plans: [cheap, x]}", "pair_classifier.plans.1", "name one of"),
        ("pair_classifier: {memory: 5}", "pair_classifier.memory", ">= 100"),
        ("knn: {neighbours: 0}", "knn.neighbours", ">= 1"),
        ("linucb: {alpha: -1}", "linucb.alpha", ">= 0"),
        ("intent: {threshold: 2}", "intent.threshold", "<= 1"),
        ("cluster_table: {shrink: 0}", "cluster_table.shrink", ">= 0.001"),
    ],
)
def test_one_mistake_one_fix(policy: str, key: str, words: str) -> None:
    found = [p for p in problems(f"  {policy}\n") if p.key == f"policy.{key}"]
    assert len(found) == 1, problems(f"  {policy}\n")
    assert words in found[0].fix


def test_a_context_map_of_ones_own(tmp_path: Path) -> None:
    raised = ContextMap.default()
    arrays = {
        name: getattr(raised, name)
        for name in ("centroids", "centre", "axes", "feature_means", "feature_scales")
    }
    own = ContextMap.of(arrays | {"feature_means": raised.feature_means + 0.5})
    own.save(tmp_path / "own.npz")
    config = parse_config(f"{ARMS}  context_map: {tmp_path}/own.npz\n", "f", {})
    assert context_map_of(config).version == own.version != raised.version
    assert LearnerStateFactory(config, catalog_of(config)).context_map.version == own.version
    (tmp_path / "own.npz").write_bytes(b"damaged")
    with pytest.raises(ConfigInvalid, match=r"f:5: policy\.context_map: .*make it anew"):
        parse_config(f"{ARMS}  context_map: {tmp_path}/own.npz\n", "f", {})
    with pytest.raises(ConfigInvalid, match=r"policy\.context_map: .*make it anew"):
        context_map_of(config)


def test_a_context_map_that_the_learner_is_to_write(tmp_path: Path) -> None:
    told = f"{ARMS}  context_map: {tmp_path}/own.npz\n"
    with pytest.raises(ConfigInvalid, match=r"policy\.context_map: .*check its path"):
        parse_config(told, "f", {})
    config = parse_config(told + "map: {refit_every_h: 24, sample_embeddings: 4000}\n", "f", {})
    assert context_map_of(config).version == ContextMap.default().version
    with pytest.raises(ConfigInvalid) as caught:
        parse_config(
            f"{ARMS}  seed: 1\nmap: {{refit_every_h: 24, sample_embeddings: 9}}\n", "f", {}
        )
    assert {problem.key for problem in caught.value.problems} == {
        "policy.context_map",
        "map.sample_embeddings",
    }


@pytest.mark.parametrize(
    ("policy", "named"),
    [
        ("name: adaptive", set()),
        ("{name: adaptive, cold_start: quality}", {"quality"}),
        ("{name: fixed, fixed: length}", {"length"}),
        ("{name: random-mix, random_mix: {cost: 1, output: 2}}", {"cost", "output"}),
        ("{name: length, length: [{plan: fixed}]}", {"fixed"}),
        ("{name: rules, rules: [{plan: cost, when: {code: true}}]}", {"cost"}),
        ("{name: intent, intent: {examples: {fixed: [a]}}, default_plan: cost}", {"fixed", "cost"}),
        ("{name: pair-classifier, pair_classifier: {plans: [cost, fixed]}}", {"cost", "fixed"}),
    ],
)
def test_plans_are_named_by_values_not_by_keys_of_the_section(policy: str, named: set[str]) -> None:
    """Plans may be called what keys of the section are called."""
    plans = "".join(
        f"  {plan}: [cheap]\n" for plan in ("quality", "length", "cost", "output", "fixed")
    )
    config = parse_config(f"{ARMS} {policy}\nplans:\n{plans}", "router.yaml", {})
    assert plans_named(config.policy.model_dump(mode="json")) == named


def test_trust_sets_by_how_much_a_plan_must_beat_the_usual_best() -> None:
    found = [settings(f"  trust: {word}\n")[1].evidence for word in ("careful", "default", "bold")]
    assert found[1] == settings("  name: adaptive\n")[1].evidence
    assert [use.margin > 0 for use in found] == [True, True, False]
    assert found[0].margin > found[1].margin
    assert found[0].doubt > found[1].doubt
    assert "policy.trust" in {problem.key for problem in problems("  trust: blind\n")}
