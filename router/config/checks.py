"""Mistakes that lie between the keys; read off the plain values, so that all show at once."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from router.config.body_checks import check_body_rules
from router.config.challenger_checks import check_challengers
from router.config.document import Path
from router.config.plain import listed, mapped, name_one
from router.config.policy_checks import check_policy
from router.config.redis_url import mistakes_in
from router.config.secrets import VARIABLE, literal_secrets, usable

Found: TypeAlias = Iterator[tuple[Path, str]]
LEAST_SAMPLES = 256
MOST_PORT = 65_535
MOST_LABEL = 63
"""Characters between two dots of a host name."""


def cross_check(value: Any, env: Mapping[str, str]) -> Found:
    """(path, fix) of every mistake; values of a wrong type are left to the schema."""
    root = mapped(value)
    arms = mapped(root.get("arms"))
    yield from _deployments(arms, env)
    yield from _plans(root, arms)
    plans = mapped(root.get("plans")) or default_plans(list(arms))
    refitted = bool(mapped(root.get("map")).get("refit_every_h"))
    yield from check_policy(mapped(root.get("policy")), plans, refitted=refitted)
    if refitted:
        yield from _refits(root)
    yield from _renamed(mapped(root.get("renamed")), {**arms, **plans})
    yield from _observed(mapped(root.get("policy")).get("observe"), arms, plans)
    yield from check_challengers(root, plans)
    if isinstance(variable := mapped(root.get("auth")).get("admin_key_env"), str) and variable:
        yield from _variable(("auth", "admin_key_env"), variable, env)
    yield from _authorities(mapped(root.get("providers")).get("ca_file"))
    yield from _redis(mapped(root.get("redis")), env)
    yield from _evidence(root)
    yield from _pairs(root)
    yield from literal_secrets(value)


def _evidence(root: dict[str, Any]) -> Found:
    section = mapped(root.get("evidence"))
    source, judge = section.get("source"), section.get("judge")
    if source == "judge" and not judge:
        yield ("evidence", "judge"), "name the arm that grades the answers"
    if judge and source != "judge":
        yield ("evidence", "judge"), "take it out, or write source: judge"
    if source == "verifier" and not mapped(root.get("judging")).get("verifier"):
        yield ("evidence", "source"), "set judging.verifier, which is asked"


def _refits(root: dict[str, Any]) -> Found:
    if not mapped(root.get("policy")).get("context_map"):
        fix = "name the file that refits are written to, shared by routers and learner"
        yield ("policy", "context_map"), fix
    most = mapped(root.get("map")).get("sample_embeddings", 0)
    if isinstance(most, int) and most < LEAST_SAMPLES:
        yield ("map", "sample_embeddings"), f"set at least {LEAST_SAMPLES}: refits are made of them"


def _deployments(arms: dict[str, Any], env: Mapping[str, str]) -> Found:
    names: set[str] = set()
    for arm, section in arms.items():
        for index, item in enumerate(listed(mapped(section).get("deployments"))):
            path: Path = ("arms", arm, "deployments", index)
            deployment = mapped(item)
            name = str(deployment.get("name", ""))
            if name and name in names:
                yield (*path, "name"), "give every deployment a name of its own"
            names.add(name)
            yield from _key(deployment, path, env)
            yield from _base_url(deployment, path)
            yield from _window(deployment, path)
            yield from check_body_rules(deployment, path, env)


def _key(deployment: dict[str, Any], path: Path, env: Mapping[str, str]) -> Found:
    if "api_key" in deployment:
        yield (*path, "api_key"), "take the key out of the file: use api_key_env or api_key_file"
    variable, file = deployment.get("api_key_env"), deployment.get("api_key_file")
    if variable and file:
        yield (*path, "api_key_file"), "keep either api_key_env or api_key_file"
    if isinstance(variable, str) and variable:
        yield from _variable((*path, "api_key_env"), variable, env)
    if isinstance(file, str):
        yield from _key_file((*path, "api_key_file"), FilePath(file))


def _variable(path: Path, name: str, env: Mapping[str, str]) -> Found:
    # The name is only repeated where it can't be a key written in the wrong place.
    if not VARIABLE.fullmatch(name):
        yield path, "write the NAME of an environment variable (A-Z, 0-9, _), not a key"
    elif not env.get(name):
        yield path, f"set the environment variable {name}"
    elif not usable(env[name]):
        yield path, f"set {name} to the value alone: printable ASCII without spaces"


def _key_file(path: Path, file: FilePath) -> Found:
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        yield path, "name a text file that this process can read"
        return
    if not usable(key):
        yield path, "put the key alone into this file: one line, no spaces"


def _authorities(file: Any) -> Found:
    if isinstance(file, str):
        try:
            ssl.create_default_context(cafile=file)
        except (OSError, ValueError):
            yield ("providers", "ca_file"), "name a PEM file of certificates that can be read"


def _base_url(deployment: dict[str, Any], path: Path) -> Found:
    url = deployment.get("base_url")
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
    except ValueError:  # the schema says so
        return
    host = (parts.hostname or "").removesuffix(".")
    if host and not all(0 < len(label) <= MOST_LABEL for label in host.split(".")):
        yield (*path, "base_url"), "write a host name without empty or overlong parts"
    if parts.query or parts.fragment:
        yield (*path, "base_url"), "leave out what follows '?' or '#'"


def _window(deployment: dict[str, Any], path: Path) -> Found:
    window = deployment.get("context_window_tokens", 128_000)
    output = deployment.get("max_output_tokens", 4_096)
    if _above(output, window):
        yield (*path, "max_output_tokens"), "write at most context_window_tokens"


def _plans(root: dict[str, Any], arms: dict[str, Any]) -> Found:
    for plan, written in mapped(root.get("plans")).items():
        section = written if isinstance(written, dict) else None
        path: Path = ("plans", plan) if section is None else ("plans", plan, "rungs")
        rungs = listed(written if section is None else section.get("rungs"))
        yield from _rungs(path, rungs, arms)
        if plan in arms and rungs and rungs[0] in arms and rungs != [plan]:
            fix = f"give it another name: under this one is learned what {plan} yields alone"
            yield ("plans", plan), fix
        if section is not None:
            yield from _gate(("plans", plan), section, len(rungs), arms)
    named: list[tuple[Path, Any]] = [
        (("fallback",), root.get("fallback")),
        (("judging", "judge"), mapped(root.get("judging")).get("judge")),
        (("evidence", "judge"), mapped(root.get("evidence")).get("judge")),
    ]
    for path, arm in named:
        if isinstance(arm, str) and arm and arm not in arms:
            yield path, name_one("arms", arm, arms)


def _renamed(renamed: dict[str, Any], known: dict[str, Any]) -> Found:
    for earlier, name in renamed.items():
        if earlier in known:
            yield ("renamed", earlier), "take it out: there is an arm or plan of this name"
        elif isinstance(name, str) and name not in known:
            yield ("renamed", earlier), name_one("arms and plans", name, known)


def _observed(arm: Any, arms: dict[str, Any], plans: dict[str, Any]) -> Found:
    path: Path = ("policy", "observe")
    if not isinstance(arm, str) or not arm:
        return
    if arm not in arms:
        yield path, name_one("arms", arm, arms)
    elif [arm] not in [_rungs_of(plan) for plan in plans.values()]:
        yield path, f"add a plan of {arm} alone: what it yields is learned as that plan's"


def _rungs_of(written: Any) -> list[Any]:
    rungs = written.get("rungs") if isinstance(written, dict) else written
    return list(rungs) if isinstance(rungs, (list, tuple)) else []


def _rungs(path: Path, rungs: list[Any], arms: dict[str, Any]) -> Found:
    seen: set[str] = set()
    for index, rung in enumerate(rungs):
        if isinstance(rung, str) and rung not in arms:
            yield (*path, index), name_one("arms", rung, arms)
        if str(rung) in seen:
            yield (*path, index), "name every arm once in a plan"
        seen.add(str(rung))


def _gate(path: Path, section: dict[str, Any], rungs: int, arms: dict[str, Any]) -> Found:
    gate, second = section.get("gate", "learned"), section.get("second", "")
    if gate != "rules" and rungs == 1:
        yield (*path, "rungs"), f"list an arm above the first: gate {gate} may escalate to it"
    if gate == "agreement" and not second:
        yield (*path, "second"), "name the arm whose answer is compared with the first"
    if not isinstance(second, str) or not second:
        return
    if second not in arms:
        yield (*path, "second"), name_one("arms", second, arms)
    elif second in listed(section.get("rungs")):
        yield (*path, "second"), "name an arm that is none of the rungs"
    elif gate == "rules":
        yield (*path, "second"), "take it out, or write gate: learned (rules asks nobody)"


def _redis(redis: dict[str, Any], env: Mapping[str, str]) -> Found:
    url, variable = redis.get("url"), redis.get("url_env")
    if url and variable:
        yield ("redis", "url_env"), "keep either url or url_env"
    if isinstance(variable, str) and variable:
        wrong = list(_variable(("redis", "url_env"), variable, env))
        yield from wrong
        for fix in () if wrong else mistakes_in(env[variable]):
            yield ("redis", "url_env"), f"in {variable}: {fix}"
    if isinstance(url, str) and url:
        for fix in mistakes_in(url):
            yield ("redis", "url"), fix
    named = [name for name in ("sentinel", "cluster") if redis.get(name)]
    if len(named) + bool(url or variable) > 1:
        yield ("redis", named[-1]), "keep one of url, url_env, sentinel and cluster"
    for name in named:
        yield from _nodes(("redis", name), mapped(redis[name]), env)


def _nodes(path: Path, section: dict[str, Any], env: Mapping[str, str]) -> Found:
    for key in ("password_env", "sentinel_password_env"):
        if isinstance(variable := section.get(key), str) and variable:
            yield from _variable((*path, key), variable, env)
    for index, node in enumerate(listed(section.get("nodes"))):
        port = str(node).rpartition(":")[2]
        if port.isdigit() and not 0 < int(port) <= MOST_PORT:
            yield (*path, "nodes", index), f"write a port from 1 to {MOST_PORT}"
    file = section.get("ca_file")
    if isinstance(file, str) and not FilePath(file).is_file():
        yield (*path, "ca_file"), "name a PEM file of certificates that can be read"


def _pairs(root: dict[str, Any]) -> Found:
    server, health = mapped(root.get("server")), mapped(root.get("health"))
    if server.get("port", 8480) == server.get("metrics_port", 9480) != 0:
        yield ("server", "metrics_port"), "choose another port than server.port"
    message_bytes, body_bytes = (
        server.get("max_message_bytes", 1 << 22),
        server.get("max_body_bytes"),
    )
    # Less, and one small request under way would keep out every other.
    if isinstance(body_bytes, int) and _above(message_bytes, body_bytes // 2):
        yield ("server", "max_body_bytes"), "write at least twice max_message_bytes"
    if _above(health.get("cooldown_ms", 5_000), health.get("max_cooldown_ms", 60_000)):
        yield ("health", "max_cooldown_ms"), "write at least cooldown_ms"


def default_plans(arms: list[str]) -> dict[str, tuple[str, ...]]:
    """Each arm alone, and cheap before reasoning where there are both."""
    plans: dict[str, tuple[str, ...]] = {arm: (arm,) for arm in arms}
    if "cheap" in arms and "reasoning" in arms:
        plans["cheap-then-reasoning"] = ("cheap", "reasoning")
    return plans


def _above(low: Any, high: Any) -> bool:
    return isinstance(low, int) and isinstance(high, int) and low > high
