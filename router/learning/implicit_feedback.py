"""Implicit feedback: signs of a bad answer in what callers do, and the weight of each kind."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from router.domain.events import Decided, Event, FeedbackGiven, Reasked
from router.domain.records import UNJUDGED, AttemptOutcome, DecisionRecord, Mode

LEFT_SHARE: Final = 0.4
"""Assumed weight beside that of a re-ask: who leaves a stream may have read enough."""
EDITED_SHARE: Final = 0.7
"""Assumed weight of a slightly changed prompt: something else may have been wanted."""
EDITED: Final = 0.6
"""Likeness from which a repeated prompt is an edit of the earlier one."""
PRIOR_COUNT: Final = 20.0
"""Signs with feedback that weigh as much as the assumption."""
LEAST: Final = 0.01
MOST: Final = 0.5
"""No sign counts more than half of explicit feedback."""
MOST_WAITING: Final = 2_000


class Sign(StrEnum):
    REASKED = "reasked"
    """The session asked nearly the same again, in other words."""
    EDITED = "edited"
    """The session repeated the prompt with a few letters or words changed."""
    RETRIED = "retried"
    """The session repeated the prompt word by word."""
    LEFT = "left"
    """The caller left a stream in the middle of an answer."""


def sign_of(event: Event, record: DecisionRecord) -> Sign | None:
    if isinstance(event, Reasked):
        return _sign_of_reask(event.likeness)
    if not isinstance(event, Decided) or record.mode is not Mode.STREAM or not record.attempts:
        return None
    last = record.attempts[-1]
    began = last.heard if last.guessed else last.output_tokens > 0
    left = last.outcome is AttemptOutcome.CANCELLED and began
    # Nothing had been handed out of an answer that was still being judged.
    return Sign.LEFT if left and last.why != UNJUDGED else None


def _sign_of_reask(likeness: float) -> Sign:
    if likeness == 1.0:
        return Sign.RETRIED
    return Sign.EDITED if likeness >= EDITED else Sign.REASKED


class ImplicitFeedbackWeights:
    """Weights of each kind of sign beside explicit feedback, learned where both were given.

    A share p of the answers with a sign turned out bad, and p0 of those without. By Abbott's
    formula (1925) the share (p - p0) / (1 - p0) of the signs is meant; a kind's weight is the mean
    of that, over the n signs with feedback, and of the assumption, which counts for PRIOR_COUNT.

    implicit_weight: assumed of a re-ask. state: as returned by `state`.
    """

    def __init__(self, implicit_weight: float = 0.25, state: dict[str, Any] | None = None) -> None:
        """Raises KeyError, TypeError or ValueError for an invalid state."""
        kept = state or {"plain": [0, 0.0], "signs": [], "waiting": []}
        shares = {Sign.EDITED: EDITED_SHARE, Sign.LEFT: LEFT_SHARE}
        self._assumed = {sign: shares.get(sign, 1.0) * implicit_weight for sign in Sign}
        self._plain = _counts(kept["plain"])
        self._signs = {Sign(name): _counts(pair) for name, *pair in kept["signs"]}
        self._waiting = {str(name): Sign(sign) for name, sign in kept["waiting"]}

    def weight(self, sign: Sign) -> float:
        count, bad = self._signs.get(sign, (0.0, 0.0))
        weight = self._assumed[sign]
        if count:
            usual = (self._plain[1] + 0.5) / (self._plain[0] + 1)
            meant = max(0.0, (bad / count - usual) / (1 - usual))
            weight = (PRIOR_COUNT * weight + count * meant) / (PRIOR_COUNT + count)
        return min(max(weight, LEAST), MOST)

    def observe(self, event: Event, record: DecisionRecord) -> float | None:
        """Count the event. Returns its weight as a sign, None if it is none."""
        if isinstance(event, FeedbackGiven):
            self._add_feedback(event, record.id)
            return None
        sign = sign_of(event, record)
        if sign is None:
            return None
        self._waiting[record.id] = sign
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        return self.weight(sign)

    @property
    def is_blank(self) -> bool:
        return not (self._plain[0] or self._signs or self._waiting)

    def state(self) -> dict[str, Any]:
        # Lists, because their order is part of the state: the oldest leaves first.
        signs = [[str(sign), *pair] for sign, pair in self._signs.items()]
        waiting = [[name, str(sign)] for name, sign in self._waiting.items()]
        return {"plain": list(self._plain), "signs": signs, "waiting": waiting}

    def _add_feedback(self, event: FeedbackGiven, decision_id: str) -> None:
        """Count it, but no correction; the session's leaves the sign for the decision's own."""
        if event.replaces is not None and event.replaces_share is None:
            return
        sign = self._waiting.get(decision_id)
        if event.session_share is None:
            self._waiting.pop(decision_id, None)
        if event.by_default:
            return
        weight = event.weight - (event.replaces_share or 0.0)
        bad = weight * (1 - event.quality)
        if sign is None:
            self._plain = self._plain[0] + weight, self._plain[1] + bad
        else:
            count, sum_ = self._signs.get(sign, (0.0, 0.0))
            self._signs[sign] = count + weight, sum_ + bad


def _counts(pair: Any) -> tuple[float, float]:
    count, bad = pair
    if not 0 <= float(bad) <= float(count):
        raise ValueError("more bad answers than there were signs")
    return float(count), float(bad)
