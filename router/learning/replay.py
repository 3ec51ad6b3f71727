"""Replay of the event log: what it teaches must equal a snapshot byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from router.domain.errors import RouterError
from router.domain.events import number_of
from router.learning.learner_state import LearnerState
from router.learning.training import Batch, BatchTrainer
from router.ports.learning_log import EventLog
from router.ports.state import StoredSnapshot

BATCH: Final = 1_000


class LogIncomplete(RouterError):
    """The log does not reach from its first event to the one that is asked for."""

    reason = "LOG_INCOMPLETE"


class ReplayDiffers(RouterError):
    """A snapshot is not what its log teaches."""

    reason = "REPLAY_DIFFERS"


@dataclass(frozen=True, slots=True)
class Replayed:
    """position: of the last event that was learned."""

    payload: bytes
    position: str
    events: int


async def stream(events: EventLog, after: str = "0") -> AsyncIterator[Batch]:
    """Yield what the store still holds after a position, in batches."""
    while batch := await events.read(after, BATCH, 0):
        yield batch
        after = batch[-1][0]


async def replay(
    batches: AsyncIterator[Batch],
    state: LearnerState,
    trainer: BatchTrainer,
    upto: str | None = None,
    *,
    whole: bool = True,
) -> Replayed:
    """Train the state on every event up to and including position `upto`.

    whole: False accepts a log whose first events are gone. Raises LogIncomplete.
    """
    count, position = 0, "0"
    async for batch in batches:
        wanted = [(p, e) for p, e in batch if upto is None or number_of(p) <= number_of(upto)]
        if not wanted:
            break
        if whole and not count and number_of(wanted[0][0]) != 1:
            raise LogIncomplete("the first events have left the store: export sooner, use --log")
        await trainer.train(state, wanted)
        count, position = count + len(wanted), wanted[-1][0]
    if upto is not None and number_of(position) != number_of(upto):
        raise LogIncomplete(f"the log ends at event {position}, the snapshot knows {upto}")
    return Replayed(state.save(), position, count)


def check_same(replayed: Replayed, stored: StoredSnapshot) -> None:
    """Raises ReplayDiffers."""
    if replayed.payload != stored.payload:
        raise ReplayDiffers(
            f"snapshot {stored.version} is not what events up to {stored.position} teach with this "
            "config: it was calibrated, or learned with another config or version"
        )
