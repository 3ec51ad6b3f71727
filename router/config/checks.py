"""Mistakes that lie between the keys; read off the plain values, so that all show at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from router.config.document import Path

Found = Iterator[tuple[Path, str]]


def cross_check(value: Any, env: Mapping[str, str]) -> Found:
    """(path, fix) of every mistake; values of a wrong type are left to the schema."""
    root = _map(value)
    arms = _map(root.get("arms"))
    yield from _deployments(arms, env)
    yield from _plans(root, arms)
    yield from _cold_start(root, arms)
    yield from _redis(_map(root.get("redis")), env)


def _deployments(arms: dict[str, Any], env: Mapping[str, str]) -> Found:
    names: set[str] = set()
    for arm, section in arms.items():
        for index, deployment in enumerate(_list(_map(section).get("deployments"))):
            path: Path = ("arms", arm, "deployments", index)
            name = str(_map(deployment).get("name", ""))
            if name and name in names:
                yield (*path, "name"), "give every deployment a name of its own"
            names.add(name)
            yield from _key(_map(deployment), path, env)


def _key(deployment: dict[str, Any], path: Path, env: Mapping[str, str]) -> Found:
    if "api_key" in deployment:
        yield (*path, "api_key"), "take the key out of the file: use api_key_env or api_key_file"
    variable, file = deployment.get("api_key_env"), deployment.get("api_key_file")
    if variable and file:
        yield (*path, "api_key_file"), "keep either api_key_env or api_key_file"
    if isinstance(variable, str) and variable and not env.get(variable):
        fix = f"set the environment variable {variable}"
        if not variable.isidentifier():
            fix = "write the name of an environment variable, not the key itself"
        yield (*path, "api_key_env"), fix
    if isinstance(file, str) and not os.access(file, os.R_OK):
        yield (*path, "api_key_file"), "name a file that this process can read"


def _plans(root: dict[str, Any], arms: dict[str, Any]) -> Found:
    known = ", ".join(arms)
    for plan, rungs in _map(root.get("plans")).items():
        seen: set[str] = set()
        for index, rung in enumerate(_list(rungs)):
            if isinstance(rung, str) and rung not in arms:
                yield ("plans", plan, index), f"name one of the arms: {known}"
            if rung in seen:
                yield ("plans", plan, index), "name every arm once in a plan"
            seen.add(str(rung))
    fallback = root.get("fallback")
    if isinstance(fallback, str) and fallback and fallback not in arms:
        yield ("fallback",), f"name one of the arms: {known}"


def _cold_start(root: dict[str, Any], arms: dict[str, Any]) -> Found:
    plans = _map(root.get("plans")) or default_plans(list(arms))
    cold = _map(root.get("policy")).get("cold_start")
    if isinstance(cold, str) and cold and cold not in plans:
        yield ("policy", "cold_start"), f"name one of the plans: {', '.join(plans)}"


def _redis(redis: dict[str, Any], env: Mapping[str, str]) -> Found:
    url, variable = redis.get("url"), redis.get("url_env")
    if url and variable:
        yield ("redis", "url_env"), "keep either url or url_env"
    if isinstance(variable, str) and variable and not env.get(variable):
        yield ("redis", "url_env"), f"set the environment variable {variable}"
    if isinstance(url, str) and url and not url.startswith(("redis://", "rediss://", "unix://")):
        yield ("redis", "url"), "write redis://HOST:PORT, rediss://HOST:PORT or unix://PATH"


def default_plans(arms: list[str]) -> dict[str, tuple[str, ...]]:
    """Each arm alone, and cheap before reasoning where there are both."""
    plans: dict[str, tuple[str, ...]] = {arm: (arm,) for arm in arms}
    if "cheap" in arms and "reasoning" in arms:
        plans["cheap-then-reasoning"] = ("cheap", "reasoning")
    return plans


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
