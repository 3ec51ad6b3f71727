"""Events of the stream, in the order they were appended: all that the learner reads.

Tagged, so that a reader knows which is which.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from router.domain.records import DecisionRecord


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision may be told of twice: when it is made and, for `Decide`, when it is settled.

    Cost, latency and failure are learned from a settled record.
    """

    record: DecisionRecord


@dataclass(frozen=True, slots=True)
class FeedbackGiven:
    """The quality of an answer was reported. at_ms: since the epoch, 0 where it was not noted.

    replaces: the quality told before, for a correction. by_default: nobody told, the join window
    closed, and this is what silence stands for.
    session_share: where the whole session was judged, this decision's share of the weight of one
    answer; else None. replaces_share: the share of what is replaced, where feedback on the decision
    itself takes the place of its session's.
    """

    decision_id: str
    quality: float
    at_ms: int = 0
    replaces: float | None = None
    by_default: bool = False
    session_share: float | None = None
    replaces_share: float | None = None

    @property
    def weight(self) -> float:
        """Return its weight beside feedback on one answer."""
        return 1.0 if self.session_share is None else self.session_share

    @property
    def is_label(self) -> bool:
        """True where somebody judged this very answer."""
        return not self.by_default and self.session_share is None

    @property
    def is_measured(self) -> bool:
        """True where it counts as one measurement of its decision's value.

        Of the decisions of a session one does, on average: each with its weight as probability,
        drawn by its id.
        """
        if self.by_default:
            return False
        drawn = hashlib.blake2b(self.decision_id.encode(errors="surrogatepass"), digest_size=4)
        return int.from_bytes(drawn.digest()) < self.weight * 2**32


@dataclass(frozen=True, slots=True)
class Reasked:
    """A session asked nearly the same again: the earlier answer was not good enough.

    similarity: cosine of the prompts. likeness: of their letters, in [0, 1]; 1 for the same words.
    """

    decision_id: str
    similarity: float
    at_ms: int = 0
    likeness: float = 0.0


@dataclass(frozen=True, slots=True)
class Audited:
    """An accepted first answer was checked off its caller's path; quality in [0, 1].

    propensity: with which this decision was picked for it. cost_usd: what the check cost.
    """

    decision_id: str
    quality: float
    propensity: float
    cost_usd: float = 0.0
    at_ms: int = 0


class EvidenceSource(StrEnum):
    """Who scores the answers of every arm."""

    JUDGE = "judge"
    """An arm that grades each answer by itself."""
    VERIFIER = "verifier"
    """A program of the operator's."""
    AGREEMENT = "agreement"
    """Closed answers on which most of them settle count as right."""


@dataclass(frozen=True, slots=True)
class ArmAnswer:
    """The outcome of one arm on the prompt of a decision.

    quality: as scored, None where nobody could tell. cost_usd: None where it was not counted.
    input_usd: part of it. failed: there is no answer, for the arm's sake. passed: the certain
    checks. served: its caller got this answer.
    model: the name the provider answered under. terms: digest of the arm's models and prices.
    """

    arm: str
    quality: float | None = None
    cost_usd: float | None = None
    latency_ms: float = 0.0
    failed: bool = False
    passed: bool = True
    served: bool = False
    input_usd: float = 0.0
    model: str = ""
    terms: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceBought:
    """The other arms were asked the same, off the caller's path, and all answers scored.

    propensity: with which this decision was drawn for it, known before the decision. arms: without
    those of which nothing is known; no two of a name. cost_usd: of everything that was paid for it,
    by the budget of evidence. value_usd: what it was expected to be worth. audit_share: with which
    the answer had been audited had it not been drawn; 0 where no audit was due.
    """

    decision_id: str
    source: EvidenceSource
    propensity: float
    arms: tuple[ArmAnswer, ...] = ()
    cost_usd: float = 0.0
    value_usd: float = 0.0
    audit_share: float = 0.0
    at_ms: int = 0

    @property
    def is_full(self) -> bool:
        """True where quality and cost are known of two arms at least, and of all in it."""
        known = [a.quality is not None and a.cost_usd is not None for a in self.arms]
        return len(known) > 1 and all(known)

    @property
    def label_share(self) -> float:
        """Return the probability with which the answer that was served got a label at all."""
        return self.propensity + (1 - self.propensity) * self.audit_share


def is_drawn(decision_id: str, share: float) -> bool:
    """Return whether a decision is drawn for evidence: by its id, so that the log can tell.

    >>> is_drawn("b1946ac92492d2347c6235b4d2611184", 1.0), is_drawn("b1", 0.0)
    (True, False)
    """
    text = decision_id.encode(errors="surrogatepass")
    drawn = hashlib.blake2b(text, digest_size=4, person=b"evidence").digest()
    return int.from_bytes(drawn) < share * 2**32


class Move(StrEnum):
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


class Mover(StrEnum):
    """The cause of a move: a command, evidence for a challenger, or the guard after a promotion."""

    HAND = "hand"
    EVIDENCE = "evidence"
    GUARD = "guard"


@dataclass(frozen=True, slots=True)
class PolicyCommand:
    """Somebody wants another policy to serve. name: of whom to promote; "" for a rollback."""

    move: Move
    name: str = ""
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class GainFound:
    """The estimate of one member's gain over the champion when it counted.

    low, high: None where the log says too little for an interval. effective: decisions left by
    weight.
    """

    member: str
    events: int = 0
    gain: float = 0.0
    low: float | None = None
    high: float | None = None
    effective: float = 0.0


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """The result of a command or of evidence; an audit record, nothing is learned from it.

    cause: position of the event that led to it. before, champion: who served, who serves now, the
    same where `refused` says why nothing changed. found: the evidence.
    """

    cause: str
    move: Move
    by: Mover
    before: str
    champion: str
    found: GainFound | None = None
    refused: str = ""
    at_ms: int = 0


Event: TypeAlias = (
    Decided | FeedbackGiven | Reasked | Audited | EvidenceBought | PolicyCommand | PolicyChanged
)


def decision_of(event: Event) -> str | None:
    """Id of the decision that an event tells of; None for one about policies."""
    if isinstance(event, Decided):
        return event.record.id
    return None if isinstance(event, PolicyCommand | PolicyChanged) else event.decision_id


def number_of(position: str) -> int:
    """Returns the number of an event from the stream id that is its position."""
    return int(position.rpartition("-")[2])
