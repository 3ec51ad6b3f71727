"""The entries of the spool: writes by id, so that each counts once however often it is told."""

from __future__ import annotations

from typing import ClassVar, Final, TypeAlias

import msgspec

from router.domain.events import Audited, EvidenceBought
from router.domain.records import DecisionRecord, FeedbackReport, OutcomeReport
from router.domain.tenants import Reservation
from router.ports.state import ClaimKey

DECISIONS: Final = "decision"
QUOTA: Final = "quota"
"""Writes for one id of a queue wait for each other."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One write. at_ms: when it was accepted, since the epoch.

    is_alone: it waits for everything before it, and everything after it for it.
    """

    queue: ClassVar[str] = DECISIONS
    is_alone: ClassVar[bool] = False

    at_ms: int
    tenant: str

    @property
    def id(self) -> str:
        """Id of the request that it belongs to."""
        raise NotImplementedError

    @property
    def order(self) -> str:
        """Entries of the same order wait for each other."""
        return f"{self.queue}:{self.id}"


class SpooledDecision(Entry, frozen=True, kw_only=True, tag="decision"):
    record: DecisionRecord

    @property
    def id(self) -> str:
        return self.record.id


class SpooledOutcome(Entry, frozen=True, kw_only=True, tag="outcome"):
    record: DecisionRecord
    report: OutcomeReport

    @property
    def id(self) -> str:
        return self.record.id


class SpooledFeedback(Entry, frozen=True, kw_only=True, tag="feedback"):
    decision_id: str
    report: FeedbackReport

    @property
    def id(self) -> str:
        return self.decision_id


class SpooledSessionFeedback(Entry, frozen=True, kw_only=True, tag="session_feedback"):
    """session_id: its digest. It comes after the decisions that it credits."""

    is_alone: ClassVar[bool] = True

    session_id: str
    report: FeedbackReport

    @property
    def id(self) -> str:
        return self.session_id


class SpooledReask(Entry, frozen=True, kw_only=True, tag="reasked"):
    decision_id: str
    similarity: float
    likeness: float

    @property
    def id(self) -> str:
        return self.decision_id


class SpooledAudit(Entry, frozen=True, kw_only=True, tag="audited"):
    audit: Audited

    @property
    def id(self) -> str:
        return self.audit.decision_id


class SpooledEvidence(Entry, frozen=True, kw_only=True, tag="evidence"):
    bought: EvidenceBought

    @property
    def id(self) -> str:
        return self.bought.decision_id


class SpooledReservation(Entry, frozen=True, kw_only=True, tag="reservation"):
    queue: ClassVar[str] = QUOTA

    reservation: Reservation

    @property
    def id(self) -> str:
        return self.reservation.id


class SpooledUsage(Entry, frozen=True, kw_only=True, tag="usage"):
    queue: ClassVar[str] = QUOTA

    reservation: Reservation
    tokens: int
    cost_usd: float

    @property
    def id(self) -> str:
        return self.reservation.id


class SpooledAnswer(Entry, frozen=True, kw_only=True, tag="answer"):
    """The answer under an idempotency key."""

    queue: ClassVar[str] = "once"

    key: ClaimKey
    fingerprint: str
    payload: bytes
    ttl_s: int

    @property
    def id(self) -> str:
        return self.key.owner


class SpoolProbe(Entry, frozen=True, kw_only=True, tag="probe"):
    """Shows that the disk takes writes again; nothing is delivered."""

    @property
    def id(self) -> str:
        return ""


AnyEntry: TypeAlias = (
    SpooledDecision
    | SpooledOutcome
    | SpooledFeedback
    | SpooledSessionFeedback
    | SpooledReask
    | SpooledAudit
    | SpooledEvidence
    | SpooledReservation
    | SpooledUsage
    | SpooledAnswer
    | SpoolProbe
)
encode_entry: Final = msgspec.msgpack.Encoder().encode
decode_entry: Final = msgspec.msgpack.Decoder(AnyEntry).decode


def kind_of(entry: Entry) -> str:
    return str(type(entry).__struct_config__.tag)
