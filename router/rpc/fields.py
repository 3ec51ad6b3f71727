"""Counts the fields of an encoded message before it is decoded.

Decoded, empty ones take a hundred times their size in memory, and a second of the event loop.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor import Descriptor

SMALL_BODY: Final = 16_384
"""Bytes that are decoded as they are: they hold few fields."""
MOST_FIELDS: Final = 50_000
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5
_MORE, _LOW = 0x80, 0x7F
_SHIFTS = range(0, 70, 7)


def has_few_fields(body: bytes, kind: Descriptor) -> bool:
    """True unless the message holds more than MOST_FIELDS, those of parts of it included.

    What is no message is left to the decoder.
    """
    try:
        return _Count(body).within(kind, 0, len(body))
    except IndexError:
        return True


class _Count:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._left = MOST_FIELDS

    def within(self, kind: Descriptor, at: int, end: int) -> bool:
        """Raises IndexError, RecursionError where the bytes are no message."""
        parts = {f.number: f.message_type for f in kind.fields if f.message_type is not None}
        while at < end:
            self._left -= 1
            if self._left < 0:
                return False
            tag, at = self._varint(at)
            if tag & 7 == _LENGTH:
                size, at = self._varint(at)
                part = parts.get(tag >> 3)
                if part is not None and not self.within(part, at, min(end, at + size)):
                    return False
                at += size
            else:
                at = self._behind(tag & 7, at)
        return True

    def _behind(self, form: int, at: int) -> int:
        if form == _VARINT:
            return self._varint(at)[1]
        return at + {_EIGHT: 8, _FOUR: 4}.get(form, 0)

    def _varint(self, at: int) -> tuple[int, int]:
        value = 0
        for shift in _SHIFTS:
            byte = self._body[at]
            value |= (byte & _LOW) << shift
            at += 1
            if byte < _MORE:
                return value, at
        raise IndexError
