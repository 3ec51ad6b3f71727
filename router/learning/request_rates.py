"""Learns what prices of requests depend on: sums over what providers have reported.

Of every deployment: tokens and bytes, how much of a warm prefix it read from its cache, and how
much of the rest it wrote there. Of every application: how many turns were a first, a second or a
later one, and by how much conversations grew. `router.serving.request_prices` reads rates off them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from router.domain.records import Attempt, AttemptOutcome, DecisionRecord, Mode

MOST_DEPLOYMENTS: Final = 256
MOST_APPLICATIONS: Final = 1_024
MOST_ONCE: Final = MOST_APPLICATIONS // 4
"""Applications that came a single time, beyond which they are forgotten before all others."""
KEPT: Final = 0.5 ** (1 / 500)
"""Part of what is known that is left after one more observation: half of it after 500."""

_MOST_BYTES: Final = 60_000.0
"""Bytes that one request counts for at most, so that none drowns all others."""
_MOST_REPORTED: Final = 2_000.0
"""Bytes that a reported call counts for at most: false reports weigh by number, not size."""
_PLAUSIBLE: Final = (0.05, 1.0)
"""Tokens per byte outside of these tell of images, hidden prompts or parts that were left out."""
_MOST_GROWTH: Final = 200_000.0
_MOST: Final = 1e15

TOKENS, BYTES, HITS, MATCHES, WRITTEN, NEW = range(6)
"""Columns of a deployment: HITS and WRITTEN are sums of shares, each with its count after it."""
FIRST, SECOND, LATER, GROWN, GROWTHS = range(5)
"""Columns of an application: turns, then tokens that were added and how often."""


class RequestRates:
    """Sums by deployment and by application, bounded; the least recently seen go first.

    everything: the sums of all applications together.

    saved: what `state` gave. Raises ValueError, TypeError or KeyError for anything else.
    """

    def __init__(self, saved: Mapping[str, Any] | None = None) -> None:
        saved = saved or {}
        self.deployments = _table(saved.get("deployments", ()), MOST_DEPLOYMENTS, NEW + 1)
        self.applications = _table(saved.get("applications", ()), MOST_APPLICATIONS, GROWTHS + 1)
        self.everything = _row(saved.get("all", [0.0] * (GROWTHS + 1)), GROWTHS + 1)

    @property
    def is_blank(self) -> bool:
        return not self.deployments and not any(self.everything)

    def state(self) -> dict[str, Any]:
        return {
            "deployments": [[name, *row] for name, row in self.deployments.items()],
            "applications": [[name, *row] for name, row in self.applications.items()],
            "all": list(self.everything),
        }

    def learn(self, record: DecisionRecord) -> None:
        """Learn from a decision with its calls; a guessed usage teaches nothing.

        A turn counts once it is answered, by a call: who has no answer asks again.
        """
        turn = record.turn
        if turn is None:
            return
        warm = dict(turn.warm)
        calls = [a for a in record.attempts if _is_counted(a)]
        most = _MOST_REPORTED if record.mode is Mode.DECIDE else _MOST_BYTES
        for call in calls:
            matched = warm.get(call.deployment, 0)
            self.learn_call(call, turn.input_bytes, matched, most)
        if not record.answered:
            return
        grown = _growth(calls, warm, turn.input_bytes)
        for row in self._rows(turn.application):
            _learn_turn(row, turn.number, grown)

    def learn_call(
        self, call: Attempt, size: int, matched: int = 0, most: float = _MOST_BYTES
    ) -> None:
        """Learn from a call whose tokens were counted.

        size: bytes of all that was sent. matched: tokens that its deployment had read before.
        most: bytes that it counts for at most.
        """
        row = _touched(self.deployments, call.deployment, MOST_DEPLOYMENTS, NEW + 1)
        _decay(row)
        tokens = call.input_tokens
        if _is_of_text(tokens, size):
            weight = min(1.0, most / size)
            row[TOKENS] += weight * tokens
            row[BYTES] += weight * size
        cached = min(call.cached_tokens, tokens)
        matched = min(matched, tokens)
        if matched > 0:
            row[HITS] += min(cached / matched, 1.0)
            row[MATCHES] += 1.0
        if tokens > cached:
            row[WRITTEN] += min(call.written_tokens / (tokens - cached), 1.0)
            row[NEW] += 1.0

    def _rows(self, application: str) -> Iterator[list[float]]:
        yield self.everything
        if application:
            table = self.applications
            if len(table) >= MOST_APPLICATIONS and application not in table:
                del table[_to_forget(table)]
            yield _touched(table, application, MOST_APPLICATIONS, GROWTHS + 1)


def _to_forget(table: Mapping[str, Sequence[float]]) -> str:
    """Returns the oldest application, or the oldest that came once where many did.

    System prompts that hold a date are new ones all the time: they take each other's room.
    """
    once = [name for name, row in table.items() if sum(row[: LATER + 1]) <= 1]
    return once[0] if len(once) > MOST_ONCE else next(iter(table))


def _is_of_text(tokens: int, size: int) -> bool:
    low, high = _PLAUSIBLE
    return size > 0 and low <= tokens / size <= high


def _is_counted(attempt: Attempt) -> bool:
    """Returns whether the provider has counted the tokens of a whole call."""
    whole = attempt.outcome not in (AttemptOutcome.FAILED, AttemptOutcome.CANCELLED)
    return bool(attempt.deployment) and whole and not attempt.guessed and attempt.input_tokens > 0


def _growth(calls: Sequence[Attempt], warm: Mapping[str, int], size: int) -> float | None:
    """Returns the input tokens added since somebody last read the conversation, None if nobody did.

    The last reading is the longest. A count that the bytes can't have is of no use.
    """
    before = max(warm.values(), default=0)
    if not calls or not before or not _is_of_text(calls[0].input_tokens, size):
        return None
    return min(max(calls[0].input_tokens - before, 0.0), _MOST_GROWTH)


def _learn_turn(row: list[float], number: int, grown: float | None) -> None:
    _decay(row)
    row[min(max(number - 1, FIRST), LATER)] += 1.0
    if grown is not None:
        row[GROWN] += grown
        row[GROWTHS] += 1.0


def _decay(row: list[float]) -> None:
    for column in range(len(row)):
        row[column] *= KEPT


def _touched(table: dict[str, list[float]], name: str, most: int, width: int) -> list[float]:
    """Returns the row of a name, which is then the newest; the oldest one makes room."""
    row = table.pop(name, None) or [0.0] * width
    table[name] = row
    if len(table) > most:
        del table[next(iter(table))]
    return row


def _table(saved: Any, most: int, width: int) -> dict[str, list[float]]:
    table = {str(name): _row(row, width) for name, *row in saved}
    if len(table) > most:
        raise ValueError("too many rows")
    return table


def _row(saved: Any, width: int) -> list[float]:
    row = [float(value) for value in saved]
    if len(row) != width or not all(0 <= value < _MOST for value in row):
        raise ValueError("a row of rates does not fit")
    return row
