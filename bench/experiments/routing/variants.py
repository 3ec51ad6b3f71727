"""Policies that are compared, and settings of those that need some.

The settings are plain guesses, the same for every stream and fitted to no data; `--set` overrides
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bandit.adaptive.policy import NAME as ADAPTIVE
from bandit.policies.fixed import NAME as FIXED
from bench.lab.recorded import Recorded
from bench.lab.setup import Variant

LONG_CHARACTERS: Final = 300
"""Step of `length` from one arm to the next dearer one."""

EASY: Final = (
    "What is the capital of Norway?",
    "Translate 'good morning' to Spanish.",
    "Which planet is closest to the sun?",
    "Is it warmer in summer or in winter?",
    "Complete the sentence: she opened the umbrella because",
)
HARD: Final = (
    "Prove that there are infinitely many prime numbers.",
    "A train leaves at noon at 80 km/h, another an hour later at 110 km/h. When do they meet?",
    "Write a function that returns the longest common subsequence of two strings.",
    "A patient has fever, joint pain and a new murmur. Which diagnosis is the most likely?",
    "Which statute of limitations applies when a contract is breached in two states?",
)


def variants_of(policy: str, vw: str, options: Mapping[str, Any], data: Recorded) -> list[Variant]:
    """Returns the variants of one policy; `fixed` comes once per arm unless `options` name one."""
    if policy == ADAPTIVE:
        wanted = {"on": (True,), "off": (False,), "both": (True, False)}[vw]
        names = {True: policy, False: f"{policy}, no VW"}
        return [Variant(names[on], policy, on, options) for on in wanted]
    if policy == FIXED and FIXED not in options:
        return [Variant(f"{policy}: {a}", policy, None, {**options, FIXED: a}) for a in data.arms]
    by_cost = [data.arms[i] for i in data.cost_usd.mean(axis=0).argsort(kind="stable")]
    return [Variant(policy, policy, None, {**preset(policy, by_cost), **options})]


def preset(policy: str, arms: Sequence[str]) -> dict[str, Any]:
    """Returns keys of the config's `policy` section; arms: from the cheapest to the dearest."""
    cheap, dear = arms[0], arms[-1]
    if policy == "length":
        tiers = [{"plan": a, "min_characters": i * LONG_CHARACTERS} for i, a in enumerate(arms)]
        return {"length": tiers}
    if policy == "rules":
        rules = [{"plan": dear, "when": {key: True}} for key in ("code", "math")]
        return {"rules": rules, "default_plan": cheap}
    if policy == "intent":
        examples = {cheap: EASY, dear: HARD} if cheap != dear else {cheap: EASY}
        return {"intent": {"examples": examples}, "default_plan": cheap}
    return {}
