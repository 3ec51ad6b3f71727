"""Mistakes in the section `challengers`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, TypeAlias

from router.config.document import Path
from router.config.plain import mapped
from router.config.policy_checks import check_policy
from router.domain.records import BASE, OWN

Found: TypeAlias = Iterator[tuple[Path, str]]
SHARED: Final = (
    "weights",
    "cost_unit_usd",
    "latency_unit_ms",
    "typical_tokens",
    "most_turns_ahead",
    "context_map",
    "covered_arms",
)
"""Keys that value, describe or limit decisions are the same for all, or no gain could be told."""
INTENT: Final = "intent"


def check_challengers(root: dict[str, Any], plans: Collection[str]) -> Found:
    """(path, fix) of every mistake; values of a wrong type are left to the schema."""
    policy, challengers = mapped(root.get("policy")), mapped(root.get("challengers"))
    if challengers and policy.get("name") == INTENT:
        fix = "choose another policy, or take the challengers out: learners embed no examples"
        yield ("policy", "name"), fix
    # Whether the context map is there is told of the section policy alone.
    known = dict(check_policy(policy, plans, refitted=True))
    for name, written in challengers.items():
        overrides, path = mapped(written), ("challengers", name)
        if name in (BASE, OWN):
            yield path, f"choose another name: {name} is the section policy itself, or a copy"
        if not overrides and isinstance(written, dict | None):
            yield path, "write what differs from the section policy"
        yield from _merged({**policy, **overrides}, overrides, known, path, plans)
        yield from _shared(overrides, path)


def _shared(overrides: dict[str, Any], path: Path) -> Found:
    for key in SHARED:
        if key in overrides:
            yield (*path, key), f"set {key} in the section policy: it is the same for all"
    if overrides.get("name") == INTENT:
        yield (*path, "name"), "choose another policy: learners embed no examples"


def _merged(
    merged: dict[str, Any],
    overrides: dict[str, Any],
    known: dict[Path, str],
    path: Path,
    plans: Collection[str],
) -> Found:
    """Mistakes of the policy it would be, less those that the section policy has itself."""
    for where, fix in check_policy(merged, plans, refitted=True):
        inherited = where[1] not in overrides and known.get(where) == fix
        if not inherited and merged.get("name") != INTENT:
            yield (*path, *where[1:]), fix
