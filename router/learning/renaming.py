"""Arms and plans that go on under another name: what was decided and learned of them is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bandit.snapshots.codec import rename_actions
from router.domain.records import Choice, DecisionRecord, Observation
from router.domain.tenants import renamed_promise
from router.learning.learner_state import Payloads

Names = Mapping[str, str]
"""Earlier name -> name today."""


def renamed_record(record: DecisionRecord, names: Names) -> DecisionRecord:
    if not names:
        return record
    return replace(
        record,
        choice=record.choice and _choice(record.choice, names),
        attempts=tuple(replace(a, arm=names.get(a.arm, a.arm)) for a in record.attempts),
        arm=names.get(record.arm, record.arm),
    )


def renamed_payloads(parts: Payloads, names: Names) -> Payloads:
    """Raises CorruptSnapshot, VersionMismatch."""
    if not names:
        return parts
    return parts._replace(
        policy=rename_actions(parts.policy, names),
        members={name: rename_actions(held, names) for name, held in parts.members.items()},
        owned={tenant: rename_actions(held, names) for tenant, held in parts.owned.items()},
        gates={names.get(plan, plan): gate for plan, gate in parts.gates.items()},
        promises={renamed_promise(name, names): told for name, told in parts.promises.items()},
    )


def _choice(choice: Choice, names: Names) -> Choice:
    return replace(
        choice,
        plan=names.get(choice.plan, choice.plan),
        probabilities=_first_renamed(choice.probabilities, names),
        expected=tuple((names.get(e[0], e[0]), *e[1:]) for e in choice.expected),
        observed=choice.observed and _observed(choice.observed, names),
    )


def _observed(seen: Observation, names: Names) -> Observation:
    plan = names.get(seen.plan, seen.plan)
    return Observation(plan, _first_renamed(seen.probabilities, names))


def _first_renamed(
    shares: tuple[tuple[str, float], ...], names: Names
) -> tuple[tuple[str, float], ...]:
    return tuple((names.get(plan, plan), share) for plan, share in shares)
