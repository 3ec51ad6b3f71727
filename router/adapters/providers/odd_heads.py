"""Heads that the parser refuses for a length that is told several times, which some proxies do."""

from __future__ import annotations

import re
from typing import Final

_INTERIM: Final = re.compile(rb"HTTP/1\.\d 1\d\d\b.*?\n\r?\n", re.DOTALL)
_END: Final = re.compile(rb"\n\r?\n")
_LENGTH: Final = re.compile(rb"(?im)^content-length:[ \t]*([0-9, \t]*?)[ \t]*\r?\n")
_NAME: Final = re.compile(rb"(?im)^content-length:")


def tells_length(data: bytes) -> bool:
    """True if a head that may go on tells a length, and not several."""
    lengths = {length.strip() for line in _LENGTH.findall(data) for length in line.split(b",")}
    return len(lengths) <= 1 and bool(_NAME.search(data))


def one_length(data: bytes) -> bytes | None:
    """Returns an answer without interim ones, its length told once; None before its head's end."""
    began = 0
    while interim := _INTERIM.match(data, began):
        began = interim.end()
    end = _END.search(data, began)
    if end is None:
        return None
    head, rest = data[began : end.start() + 1], data[end.start() + 1 :]
    line = _LENGTH.search(head)
    first = b"content-length: %b\r\n" % line[1].split(b",")[0].strip() if line else b""
    told = iter([first])
    return _LENGTH.sub(lambda _: next(told, b""), head) + rest
