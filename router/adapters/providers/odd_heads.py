"""Heads of answers that the parser refuses although what they say is plain."""

from __future__ import annotations

import re
from typing import Final

_END: Final = re.compile(rb"\n\r?\n")
_LENGTH: Final = re.compile(rb"(?im)^content-length:[ \t]*([0-9, \t]*?)[ \t]*\r?\n")


def one_length(data: bytes) -> bytes | None:
    """Returns an answer whose length is told several times told once; None where it differs.

    data: from the head's first byte on.
    """
    end = _END.search(data)
    head = data[: end.start() + 1] if end else data
    lines = _LENGTH.findall(head)
    lengths = {length.strip() for line in lines for length in line.split(b",")}
    if len(lengths) != 1 or lines == [*lengths]:
        return None
    told = iter([b"content-length: %b\r\n" % lengths.pop()])
    return _LENGTH.sub(lambda _: next(told, b""), head) + data[len(head) :]
