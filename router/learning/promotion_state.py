"""What a contest has to remember, as bytes and back."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from bandit.errors import CorruptSnapshot
from bandit.offpolicy import GainTally
from router.domain.records import BASE
from router.learning.pending import Waiting


@dataclass(slots=True)
class ContestState:
    """champion: who serves. previous: who did before a promotion, "" where there is no way back.

    since: position of the event that made the champion. prints: of what every member was made
    from, by name. tallies: of every other member's gain over the champion. waiting: by decision
    id, the oldest first.
    """

    champion: str = BASE
    previous: str = ""
    since: str = "0"
    prints: dict[str, str] = field(default_factory=dict)
    tallies: dict[str, GainTally] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)


_decoder = msgspec.msgpack.Decoder(ContestState)


def write_state(state: ContestState) -> bytes:
    return msgspec.msgpack.encode(state)


def read_state(payload: bytes) -> ContestState:
    """Raises CorruptSnapshot."""
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError:
        raise CorruptSnapshot(
            "the snapshot's contest can't be read; go back to an older one"
        ) from None


def resumed(saved: ContestState, prints: dict[str, str]) -> ContestState:
    """What still counts for members made from what `prints` says, in their order.

    A member that is made otherwise now starts with no evidence; so do all under another champion.
    """
    champion = saved.champion if saved.champion in prints else BASE
    same = {name for name, print_ in prints.items() if saved.prints.get(name) == print_}
    kept = same if saved.champion in same else set()
    tallies = {n: saved.tallies.get(n, GainTally()) if n in kept else GainTally() for n in prints}
    del tallies[champion]
    waiting = saved.waiting if kept else {}
    for decision in waiting.values():
        decision.wanted = {n: shares for n, shares in decision.wanted.items() if n in kept}
    previous = saved.previous if saved.previous in prints and champion == saved.champion else ""
    return ContestState(champion, previous, saved.since, prints, tallies, waiting)
