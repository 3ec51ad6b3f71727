"""Characters that came in halves, put together again; what stays half is U+FFFD."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_RAW: Final = 0x10FF00
"""Stands with a byte added for that byte, where it was no UTF-8: a character nobody uses."""
_WRONG: Final = range(0x80, 0x100)
_KEPT: Final = {0xDC00 + byte: _RAW + byte for byte in _WRONG}
_WRITTEN: Final = {kept: escaped for escaped, kept in _KEPT.items()}
_ODD: Final = re.compile("[\ud800-\udfff\U0010ff80-\U0010ffff]")
_RUNS: Final = re.compile("[\ud800-\udfff]+|[^\ud800-\udfff]+")
_RAWS: Final = re.compile("[\U0010ff80-\U0010ffff]")
_UNENDED: Final = re.compile(
    rb"(?:[\xc2-\xdf]|[\xe0-\xec\xee\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2}"
    rb"|\xed(?:[\x80-\xbf]|[\xa0-\xaf][\x80-\xbf](?:\xed[\xb0-\xbf]?)?)?)$"
)
_MOST_UNENDED: Final = 5
"""Bytes of the longest character that may be unended: a pair of halves without its last byte."""


def unescaped(data: bytes) -> str:
    """Returns the text of bytes in which those that are no UTF-8 are kept for `Joiner`."""
    return data.decode("utf-8", "surrogateescape").translate(_KEPT)


def exact(text: str) -> str:
    """Returns text as it was told, halves of a surrogate pair too; only raw bytes are joined."""
    return clean(text) if not text.isascii() and _RAWS.search(text) else text


def clean(text: str) -> str:
    """Returns text that can be encoded."""
    return Joiner().ended(text)


@dataclass(slots=True)
class Joiner:
    """Joins pieces of one text: a character that is split over two of them comes out whole."""

    pending: bytes = b""

    def joined(self, text: str) -> str:
        """Returns what can be told by now."""
        if not self.pending and (text.isascii() or not _ODD.search(text)):
            return text
        data = self.pending + _bytes_of(text)
        unended = _UNENDED.search(data, max(0, len(data) - _MOST_UNENDED))
        end = unended.start() if unended else len(data)
        self.pending = data[end:]
        return _text_of(data[:end])

    def ended(self, text: str = "") -> str:
        """Returns the rest."""
        said, rest = self.joined(text), self.pending
        self.pending = b""
        return said + _text_of(rest)


def _bytes_of(text: str) -> bytes:
    """Returns halves of pairs as bytes of their own, and as they came those that were kept."""
    return b"".join(
        run.encode("utf-8", "surrogatepass")
        if "\ud800" <= run[0] <= "\udfff"
        else run.translate(_WRITTEN).encode("utf-8", "surrogateescape")
        for run in _RUNS.findall(text)
    )


def _text_of(data: bytes) -> str:
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
