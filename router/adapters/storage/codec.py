"""Stored values as MessagePack, and how decisions and events lie in the store."""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, TypeVar

import msgspec

from router.domain.errors import StorageCorrupt
from router.domain.events import (
    Audited,
    Decided,
    Event,
    FeedbackGiven,
    PolicyChanged,
    PolicyCommand,
    Reasked,
)
from router.domain.records import DecisionRecord

T = TypeVar("T")

encode = msgspec.msgpack.Encoder().encode


class Codec(Generic[T]):
    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._decoder = msgspec.msgpack.Decoder(kind)

    def decode(self, data: bytes) -> T:
        """Raises StorageCorrupt for anything that is not a whole value of the kind."""
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
            raise StorageCorrupt(
                f"a stored {self._kind.__name__} can't be read: it is damaged or of another version"
            ) from None


_record = Codec(DecisionRecord)
_feedback = Codec(FeedbackGiven)
_reasked = Codec(Reasked)
_audited = Codec(Audited)
_command = Codec(PolicyCommand)
_changed = Codec(PolicyChanged)


def read_record(payload: bytes, feedback: bytes | None) -> DecisionRecord:
    """Raises StorageCorrupt."""
    record = _record.decode(payload)
    return record if feedback is None else replace(record, feedback=float(feedback))


def read_change(body: bytes) -> PolicyChanged:
    """Raises StorageCorrupt."""
    return _changed.decode(body)


def read_event(kind: bytes, body: bytes, was: bytes | None = None) -> Event:
    """Raises StorageCorrupt. was: the value that feedback corrects."""
    match kind:
        case b"decided":
            return Decided(_record.decode(body))
        case b"feedback":
            given = _feedback.decode(body)
            return given if was is None else replace(given, replaces=float(was))
        case b"reasked":
            return _reasked.decode(body)
        case b"audited":
            return _audited.decode(body)
        case b"policy_command":
            return _command.decode(body)
        case b"policy_changed":
            return read_change(body)
        case _:
            raise StorageCorrupt("a stored event is of an unknown kind")
