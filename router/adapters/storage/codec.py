"""Stored values as MessagePack, and how decisions and events lie in the store.

A decision is packed: its vectors in the narrowest floats that hold them, hashes as bytes, all of it
deflated with a dictionary. One that an earlier version wrote is plain MessagePack.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from router.domain.errors import StorageCorrupt
from router.domain.events import (
    Audited,
    Decided,
    Event,
    EvidenceBought,
    FeedbackGiven,
    PolicyChanged,
    PolicyCommand,
    Reasked,
)
from router.domain.records import DecisionRecord, OutcomeReport

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
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
            raise StorageCorrupt(
                f"a stored {self._kind.__name__} can't be read: it is damaged or of another version"
            ) from None


_record = Codec(DecisionRecord)

PACKED: Final = b"\xc1\x01"
"""No MessagePack begins so; the second byte is the version of the form and of its dictionary."""
MOST_BYTES: Final = 1 << 22
_PIECE: Final = b"r"
_DICTIONARY: Final = files(__package__).joinpath("record_1.dict").read_bytes()
LATER: Final = frozenset(
    {
        *("turn", "locked", "session_share", "prices", "turns_ahead"),
        *("conversation", "application"),
        *("cached_tokens", "written_tokens", "reasoning_tokens", "input_usd"),
        *("strong_input_usd", "evidence_share"),
    }
)
"""Fields that came after the dictionary; each is empty unless it tells something."""
_NAMES: Final = ("id", "session_id", "cache_exact", "cache_partition")
_NO_NAMES: Final = dict.fromkeys(_NAMES, "")
_NO_CONTEXT: Final = dict.fromkeys(("membership", "projection", "features"), ())
_NO_SIGNALS: Final = dict.fromkeys(("signals", "second_signals"), ())
_RAW_DEFLATE: Final = -12
_LEVEL: Final = 6


class _Packed(NamedTuple):
    """A record without what is packed beside it. vectors: of the context, then of the gate.

    names: bytes for one of lower-case hexadecimal digits, else text.
    """

    record: DecisionRecord
    vectors: tuple[bytes, ...]
    expected_plans: tuple[str, ...]
    expected: bytes
    names: tuple[Any, ...]


_packed = Codec(_Packed)


def pack_record(record: DecisionRecord) -> bytes:
    choice, judged, vectors = record.choice, record.judged, list[bytes]()
    plans, expected = tuple[str, ...](), tuple[float, ...]()
    if choice is not None:
        seen = choice.context
        vectors += map(_narrow, (seen.membership, seen.projection, seen.features))
        plans = tuple(known[0] for known in choice.expected)
        expected = tuple(number for known in choice.expected for number in known[1:])
    if judged is not None:
        vectors += map(_narrow, (judged.signals, judged.second_signals))
    names = tuple(_short(getattr(record, name)) for name in _NAMES)
    return PACKED + _deflated(encode((_bare(record), vectors, plans, _narrow(expected), names)))


def _bare(record: DecisionRecord) -> dict[str, Any]:
    """Returns the fields without what is packed beside them, and without `LATER` that is empty."""
    told: dict[str, Any] = msgspec.to_builtins(record, builtin_types=(bytes,))
    told.update(_NO_NAMES)
    choice, judged = told["choice"] or {}, told["judged"] or {}
    if choice:
        choice["context"].update(_NO_CONTEXT)
        choice["expected"] = ()
    if judged:
        judged.update(_NO_SIGNALS)
    for each in (told, choice, choice.get("context", {}), judged, *told["attempts"]):
        _leave_out(each)
    return told


def encode_report(report: OutcomeReport) -> bytes:
    """Encode a report, which is known by its bytes when it comes again, as earlier versions did."""
    told: dict[str, Any] = msgspec.to_builtins(report)
    _leave_out(told)
    return encode(told)


def _leave_out(told: dict[str, Any]) -> None:
    """Drop fields of `LATER` that say nothing."""
    for name in LATER.intersection(told):
        if not told[name]:
            del told[name]


def _unpacked(data: bytes) -> DecisionRecord:
    """Raises StorageCorrupt."""
    try:
        return _whole(_packed.decode(_inflated(data[len(PACKED) :])))
    except (zlib.error, struct.error, ValueError):
        raise StorageCorrupt("a stored decision can't be unpacked: it is damaged") from None


def _whole(packed: _Packed) -> DecisionRecord:
    record, vectors = packed.record, [_widened(data) for data in packed.vectors]
    choice, judged = record.choice, record.judged
    if choice is not None:
        membership, projection, features, *vectors = vectors
        seen = replace(
            choice.context, membership=membership, projection=projection, features=features
        )
        numbers = iter(_widened(packed.expected))
        known = zip(packed.expected_plans, numbers, numbers, numbers, strict=True)
        choice = replace(choice, context=seen, expected=tuple(known))
    if judged is not None:
        signals, second = vectors
        judged = replace(judged, signals=signals, second_signals=second)
    decision_id, session, exact, partition = map(_long, packed.names)
    return replace(
        record,
        id=decision_id,
        session_id=session,
        cache_exact=exact,
        cache_partition=partition,
        choice=choice,
        judged=judged,
    )


def _narrow(numbers: tuple[float, ...]) -> bytes:
    """Returns floats of half, single or double width, whichever holds all of them exactly."""
    for width in "ef":
        form = f"<{len(numbers)}{width}"
        try:
            data = struct.pack(form, *numbers)
        except OverflowError:
            continue
        if struct.unpack(form, data) == numbers:
            return width.encode() + data
    return b"d" + struct.pack(f"<{len(numbers)}d", *numbers)


def _widened(data: bytes) -> tuple[float, ...]:
    width = data[:1].decode("ascii")
    count = (len(data) - 1) // struct.calcsize(f"<{width}")
    return struct.unpack(f"<{count}{width}", data[1:])


def _short(name: str) -> bytes | str:
    try:
        data = bytes.fromhex(name)
    except ValueError:
        return name
    return data if data.hex() == name else name


def _long(name: object) -> str:
    return name.hex() if isinstance(name, bytes) else str(name)


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW_DEFLATE, zdict=_DICTIONARY)
    return packer.compress(data) + packer.flush()


def _inflated(data: bytes) -> bytes:
    unpacker = zlib.decompressobj(_RAW_DEFLATE, zdict=_DICTIONARY)
    found = unpacker.decompress(data, MOST_BYTES)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("cut off or too long")
    return found


_feedback = Codec(FeedbackGiven)
_changed = Codec(PolicyChanged)
_PLAIN: Final[Mapping[bytes, Codec[Any]]] = {
    b"reasked": Codec(Reasked),
    b"audited": Codec(Audited),
    b"evidence": Codec(EvidenceBought),
    b"policy_command": Codec(PolicyCommand),
    b"policy_changed": _changed,
}
"""Events that are read as they were written, by kind."""


def read_record(payload: bytes, feedback: bytes | None) -> DecisionRecord:
    """Raises StorageCorrupt."""
    record = _unpacked(payload) if payload.startswith(PACKED) else _record.decode(payload)
    return record if feedback is None else replace(record, feedback=float(feedback))


def read_decision(fields: Sequence[bytes]) -> tuple[str, DecisionRecord | None]:
    """Returns tenant and record out of the fields of a decision's hash. Raises StorageCorrupt."""
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    pieces = (named[_PIECE + b"%d" % i] for i in range(len(named)) if _PIECE + b"%d" % i in named)
    payload = named.get(b"record", b"".join(pieces) or None)
    tenant = named.get(b"tenant", b"").decode(errors="replace")
    if payload is None:
        return tenant, None
    record = read_record(payload, named.get(b"feedback", named.get(b"credit")))
    if b"credit" in named:
        record = replace(record, session_share=float(named[b"share"]))
    return tenant, record


def read_change(body: bytes) -> PolicyChanged:
    """Raises StorageCorrupt."""
    return _changed.decode(body)


def read_event(fields: Mapping[bytes, bytes]) -> Event:
    """Raises StorageCorrupt. fields: of an entry of the stream."""
    kind, body = fields.get(b"kind", b""), fields.get(b"body", b"")
    match kind:
        case b"decided":
            return Decided(read_record(body, None))
        case b"feedback":
            return _told(_feedback.decode(body), fields)
        case _ if kind in _PLAIN:
            event: Event = _PLAIN[kind].decode(body)
            return event
        case _:
            raise StorageCorrupt("a stored event is of an unknown kind")


def _told(given: FeedbackGiven, fields: Mapping[bytes, bytes]) -> FeedbackGiven:
    """Returns feedback with what the server alone knew when it was appended.

    id, weight: of one of a session's decisions. was, was_share: what it replaces.
    """
    if b"id" in fields:
        name, weight = fields[b"id"].decode(), float(fields.get(b"weight", b"1"))
        given = replace(given, decision_id=name, session_share=weight)
    if b"was" not in fields:
        return given
    share = fields.get(b"was_share")
    return replace(
        given,
        replaces=float(fields[b"was"]),
        replaces_share=None if share is None else float(share),
    )
