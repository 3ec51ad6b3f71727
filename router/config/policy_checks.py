"""Mistakes in the `policy` section that lie between its keys, or between it and the plans."""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Iterator
from typing import Any

from bandit.context.conditions import bound_of, least_length
from bandit.context.context_map import ContextMap
from bandit.errors import BadSettings, CorruptContextMap
from router.config.document import Path
from router.config.plain import listed, mapped, name_one

Found = Iterator[tuple[Path, str]]
_NEEDED = {"length": "length", "rules": "rules", "fixed": "fixed"}


def check_policy(
    policy: dict[str, Any], plans: Collection[str], *, refitted: bool = False
) -> Found:
    """Yield (path, fix) of every mistake; values of a wrong type are left to the schema.

    refitted: the learner writes the context map, which need not be there yet.
    """
    yield from _needed(policy)
    for path, plan in _named(policy):
        if isinstance(plan, str) and plan and plan not in plans:
            yield ("policy", *path), name_one("plans", plan, plans)
    context_map, file = ContextMap.default(), policy.get("context_map")
    if isinstance(file, str) and not (refitted and not pathlib.Path(file).exists()):
        try:
            context_map = ContextMap.load(pathlib.Path(file))
        except CorruptContextMap as error:
            yield ("policy", "context_map"), str(error)
    yield from _tiers(listed(policy.get("length")), context_map)
    yield from _rules(listed(policy.get("rules")), context_map)
    yield from _mix(mapped(policy.get("random_mix")))
    pair = listed(mapped(policy.get("pair_classifier")).get("plans"))
    if len(pair) == 2 and pair[0] == pair[1]:  # noqa: PLR2004 - a pair
        yield ("policy", "pair_classifier", "plans", 1), "name two different plans"


def _needed(policy: dict[str, Any]) -> Found:
    name = policy.get("name")
    key = _NEEDED.get(name) if isinstance(name, str) else None
    if key and not policy.get(key):
        fix = "name the plan to use" if key == "fixed" else "list at least 1"
        yield ("policy", key), fix
    if name == "intent" and not mapped(policy.get("intent")).get("examples"):
        yield ("policy", "intent", "examples"), "give at least one plan some example utterances"


def plans_named(policy: dict[str, Any]) -> set[str]:
    """Return the plans that a valid `policy` section, in the types of JSON, names."""
    return {plan for _, plan in _named(policy) if plan}


def _named(policy: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Yield the places where plans are named, and what stands there."""
    for key in ("cold_start", "fixed", "default_plan"):
        yield (key,), policy.get(key)
    for key in ("length", "rules"):
        for index, item in enumerate(listed(policy.get(key))):
            yield (key, index, "plan"), mapped(item).get("plan")
    for plan in mapped(policy.get("random_mix")):
        yield ("random_mix", plan), plan
    for plan in mapped(mapped(policy.get("intent")).get("examples")):
        yield ("intent", "examples", plan), plan
    for index, plan in enumerate(listed(mapped(policy.get("pair_classifier")).get("plans"))):
        yield ("pair_classifier", "plans", index), plan


def _tiers(tiers: list[Any], context_map: ContextMap) -> Found:
    before = -1
    for index, tier in enumerate(tiers):
        path: Path = ("policy", "length", index, "min_characters")
        least = mapped(tier).get("min_characters", 0)
        if isinstance(least, bool) or not isinstance(least, int) or least < 0:
            continue  # the schema says so
        if least <= before:
            yield path, f"write more than {before}: tiers stand in rising order"
        before = max(before, least)
        try:
            least_length(least, context_map)
        except BadSettings as error:
            yield path, str(error)


def _rules(rules: list[Any], context_map: ContextMap) -> Found:
    for index, rule in enumerate(rules):
        for key, value in mapped(mapped(rule).get("when")).items():
            try:
                bound_of(key, value, context_map)
            except BadSettings as error:
                yield ("policy", "rules", index, "when", key), str(error)


def _mix(mix: dict[str, Any]) -> Found:
    if mix and all(isinstance(weight, int | float) and weight == 0 for weight in mix.values()):
        yield ("policy", "random_mix"), "give at least one plan a weight > 0"
