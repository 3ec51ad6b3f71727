"""`policy ...`, composed: who serves, what is known of the others, and commands to the learner."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bandit.errors import BanditError
from router.app import opened_storage
from router.app.brain import Brain
from router.config import Config
from router.config.plain import name_one
from router.config.values import catalogue_of, members_of
from router.core.errors import RouterError, SnapshotRefused
from router.core.records import GainFound, Move, PolicyChanged, PolicyCommand

POLL_S = 0.1


class MemberUnknown(RouterError):
    """The config has no policy or challenger of this name."""

    reason = "MEMBER_UNKNOWN"


@dataclass(frozen=True, slots=True)
class Listing:
    """kinds: policy name by member, in the order of the config. found: of those who do not serve.

    version: of the snapshot that says so, 0 where there is none yet. changes: newest first.
    """

    kinds: Mapping[str, str]
    champion: str
    previous: str
    version: int
    found: Sequence[GainFound]
    changes: Sequence[PolicyChanged]


async def listed(config: Config, env: Mapping[str, str]) -> Listing:
    """Raises RouterError."""
    brain = Brain(config, catalogue_of(config))
    async with opened_storage(config, env) as storage:
        stored, changes = await storage.snapshots.load(), await storage.policies.changes()
    try:
        learned = brain.restore(stored.payload) if stored else brain.fresh()
    except BanditError as error:
        raise SnapshotRefused(f"the newest snapshot can't be read: {error}") from None
    contest = learned.contest
    return Listing(
        kinds={name: section.name for name, section in members_of(config).items()},
        champion=learned.champion,
        previous=contest.state.previous if contest else "",
        version=stored.version if stored else 0,
        found=contest.standings() if contest else (),
        changes=changes,
    )


async def commanded(
    config: Config, env: Mapping[str, str], command: PolicyCommand, wait_s: float
) -> tuple[str, PolicyChanged | None]:
    """Position of the command in the log, and what came of it; None when nothing did in time.

    Raises RouterError.
    """
    members = members_of(config)
    if len(members) == 1:
        raise MemberUnknown("the config has no challengers: there is nobody to change places with")
    if command.move is Move.PROMOTED and command.name not in members:
        raise MemberUnknown(name_one("policies", command.name, members))
    async with opened_storage(config, env) as storage:
        position = await storage.policies.command(command)
        deadline_s = time.monotonic() + wait_s
        while True:
            done = [c for c in await storage.policies.changes() if c.cause == position]
            if done or time.monotonic() >= deadline_s:
                return position, done[0] if done else None
            await asyncio.sleep(POLL_S)
