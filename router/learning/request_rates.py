"""Rates that turn a request into a price: learned from what providers report, never configured.

Of every deployment: tokens per byte, the share of a warm prefix that it reads from its cache, and
the share of the rest that it writes there. Of every application: how much a conversation grows in
a turn, and how often another turn follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from router.domain.records import Attempt, AttemptOutcome, DecisionRecord, TurnFacts

MOST_DEPLOYMENTS: Final = 256
MOST_APPLICATIONS: Final = 1_024
KEPT: Final = 0.5 ** (1 / 500)
"""Part of what is known that is left after one more observation: half of it after 500."""

TOKENS_PER_BYTE: Final = 1 / 3.6
_PRIOR_BYTES: Final = 6_000.0
"""A few requests' worth."""
_MOST_BYTES: Final = 60_000.0
"""Bytes that one request counts for at most, so that none drowns all others."""
_PLAUSIBLE: Final = (0.02, 1.0)
"""Tokens per byte outside of these tell of images or of hidden prompts, not of text."""
HIT_RATE: Final = 0.8
WRITE_SHARE: Final = 1.0
_PRIOR_ATTEMPTS: Final = 3.0
_PRIOR_TURNS: Final = 3.0
_MOST_GROWTH: Final = 200_000.0
_MOST_LEFT: Final = 0.99
"""Largest chance of another turn: expectations stay finite."""

_TOKENS, _BYTES, _HITS, _MATCHES, _WRITTEN, _NEW = range(6)
_LATER, _GROWN, _GROWTHS = range(2, 5)
"""Turns of a conversation are counted as first, second and later ones."""


class RequestRates:
    """What was learned of deployments and applications, bounded; the least recently seen go first.

    saved: what `state` gave. Raises ValueError, TypeError or KeyError for anything else.
    """

    def __init__(self, saved: Mapping[str, Any] | None = None) -> None:
        saved = saved or {}
        self._deployments = _table(saved.get("deployments", ()), MOST_DEPLOYMENTS, _NEW + 1)
        self._applications = _table(saved.get("applications", ()), MOST_APPLICATIONS, _GROWTHS + 1)
        self._all = _row(saved.get("all", [0.0] * (_GROWTHS + 1)), _GROWTHS + 1)

    @property
    def is_blank(self) -> bool:
        return not self._deployments and not any(self._all)

    def state(self) -> dict[str, Any]:
        return {
            "deployments": [[name, *row] for name, row in self._deployments.items()],
            "applications": [[name, *row] for name, row in self._applications.items()],
            "all": list(self._all),
        }

    def tokens_per_byte(self, deployment: str) -> float:
        row = self._deployments.get(deployment)
        tokens, size = (0.0, 0.0) if row is None else (row[_TOKENS], row[_BYTES])
        return (TOKENS_PER_BYTE * _PRIOR_BYTES + tokens) / (_PRIOR_BYTES + size)

    def hit_rate(self, deployment: str) -> float:
        """Returns the share of a warm prefix that is read from the cache."""
        return self._share(deployment, _HITS, HIT_RATE)

    def write_share(self, deployment: str) -> float:
        """Returns the share of what is not read from the cache that is written there."""
        return self._share(deployment, _WRITTEN, WRITE_SHARE)

    def growth(self, application: str, start: float) -> float:
        """Returns input tokens that a turn adds. start: the guess before anything is known."""
        known = _shrunk(self._all[_GROWN], self._all[_GROWTHS], start)
        row = self._applications.get(application)
        return known if row is None else _shrunk(row[_GROWN], row[_GROWTHS], known)

    def turns_ahead(self, application: str, number: int, most: float) -> float:
        """Returns how many turns are expected after this one, at most `most`.

        number: of this turn, 1 for the first. With p a second turn follows the first, and with q
        another one every later turn: p / (1 - q) after the first, q / (1 - q) after any other.

        >>> RequestRates().turns_ahead("", 1, 3.0)
        0.0
        >>> rates = RequestRates({"all": [27.0, 15.0, 42.0, 0.0, 0.0]})
        >>> round(rates.turns_ahead("", 1, 3.0), 6), round(rates.turns_ahead("", 2, 9.0), 6)
        (1.666667, 2.333333)
        """
        row = self._applications.get(application)
        usual = _chances(self._all, (0.0, 0.0))
        first, later = usual if row is None else _chances(row, usual)
        chance = first if number <= 1 else later
        return min(most, chance / (1 - min(later, _MOST_LEFT)))

    def learn(self, record: DecisionRecord) -> None:
        """Learn from a decision with its calls; a guessed usage teaches nothing."""
        turn = record.turn
        if turn is None:
            return
        warm = dict(turn.warm)
        calls = [a for a in record.attempts if _counts(a)]
        for call in calls:
            self._learn_call(call, turn, warm.get(call.deployment, 0))
        grown = _growth(calls, warm)
        for row in self._rows(turn.application):
            _learn_turn(row, turn.number, grown)

    def _learn_call(self, call: Attempt, turn: TurnFacts, matched: int) -> None:
        row = _touched(self._deployments, call.deployment, MOST_DEPLOYMENTS, _NEW + 1)
        _decay(row)
        size, tokens = turn.input_bytes, call.input_tokens
        low, high = _PLAUSIBLE
        if size > 0 and low <= tokens / size <= high:
            weight = min(1.0, _MOST_BYTES / size)
            row[_TOKENS] += weight * tokens
            row[_BYTES] += weight * size
        cached = min(call.cached_tokens, tokens)
        matched = min(matched, tokens)
        if matched > 0:
            row[_HITS] += min(cached / matched, 1.0)
            row[_MATCHES] += 1.0
        if tokens > cached:
            row[_WRITTEN] += min(call.written_tokens / (tokens - cached), 1.0)
            row[_NEW] += 1.0

    def _rows(self, application: str) -> Iterator[list[float]]:
        yield self._all
        if application:
            yield _touched(self._applications, application, MOST_APPLICATIONS, _GROWTHS + 1)

    def _share(self, deployment: str, column: int, prior: float) -> float:
        """Returns a mean share; its count stands in the column after it."""
        row = self._deployments.get(deployment)
        total, count = (0.0, 0.0) if row is None else (row[column], row[column + 1])
        return (prior * _PRIOR_ATTEMPTS + total) / (_PRIOR_ATTEMPTS + count)


def _counts(attempt: Attempt) -> bool:
    """Returns whether a provider has counted a whole call."""
    told = attempt.outcome not in (AttemptOutcome.FAILED, AttemptOutcome.CANCELLED)
    return bool(attempt.deployment) and told and not attempt.guessed and attempt.input_tokens > 0


def _growth(calls: list[Attempt], warm: Mapping[str, int]) -> float | None:
    """Returns input tokens that were added since whoever is warm has read the conversation.

    Those of the newest reading, which is the longest; None where nobody had read it.
    """
    before = max(warm.values(), default=0)
    if not calls or not before:
        return None
    return min(max(calls[0].input_tokens - before, 0.0), _MOST_GROWTH)


def _learn_turn(row: list[float], number: int, grown: float | None) -> None:
    _decay(row)
    row[min(max(number, 1), 3) - 1] += 1.0
    if grown is not None:
        row[_GROWN] += grown
        row[_GROWTHS] += 1.0


def _chances(row: list[float], usual: tuple[float, float]) -> tuple[float, float]:
    """Returns the chances of a second turn, and of another after it."""
    first, second, later = row[: _LATER + 1]
    return (
        min(_shrunk(second, first, usual[0]), 1.0),
        min(_shrunk(later, second + later, usual[1]), 1.0),
    )


def _shrunk(total: float, count: float, usual: float) -> float:
    return (total + _PRIOR_TURNS * usual) / (count + _PRIOR_TURNS)


def _decay(row: list[float]) -> None:
    for column in range(len(row)):
        row[column] *= KEPT


def _touched(table: dict[str, list[float]], name: str, most: int, width: int) -> list[float]:
    """Returns the row of a name, from now on the newest; the oldest one makes room."""
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
    if len(row) != width or not all(0 <= value < 1e15 for value in row):  # noqa: PLR2004 - finite
        raise ValueError("a row of rates does not fit")
    return row
