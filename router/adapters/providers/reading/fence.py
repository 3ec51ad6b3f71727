"""JSON that a model has put into a fenced block of Markdown is served without the fence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

_MARK: Final = r"\s*(`{3,}|~{3,})[ \t]*[A-Za-z0-9_+.-]{0,16}[ \t]*"
_OPENING: Final = re.compile(_MARK + r"(?:\r?\n|(?=[\[{]))")
_MAY_OPEN: Final = re.compile(rf"(?:\s*(?:`{{0,2}}|~{{0,2}})|{_MARK}\r?)\Z")
MAX_HELD: Final = 256
_BLANK: Final = " \t\r\n"


def unfenced(text: str) -> str:
    """Returns what is in a fence, if a whole text is one fenced block; else the text.

    >>> unfenced('```json {"a": 1}```'), unfenced('See: ```{}```')
    ('{"a": 1}', 'See: ```{}```')
    """
    opening, body = _OPENING.match(text), text.rstrip()
    if opening is None or not body.endswith(opening[1]) or len(body) <= opening.end():
        return text
    inside = body[opening.end() :].rstrip(opening[1][0]).strip()
    if _line(opening[1]).search(inside) or (opening[1] in inside and not _is_json(inside)):
        return text
    return inside


def _line(fence: str) -> re.Pattern[str]:
    """Matches a closing fence: JSON has no line of its own that begins with one."""
    return re.compile(r"\n[ \t]*" + re.escape(fence[0]) + "{" + str(len(fence)) + ",}")


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True


@dataclass(slots=True)
class Unfencer:
    """Takes the fence off a stream: only what may belong to it is held back.

    A fence that was taken off can't come back: text after the block follows its closing fence.

    whole: all of the text comes before any is handed out.
    """

    whole: bool = False
    _held: str = ""
    _fence: str = ""
    _plain: bool = False

    def feed(self, text: str) -> str:
        """Returns what can be handed out by now."""
        if self._plain:
            return text
        self._held += text
        if self.whole:
            return ""
        if not self._fence and not self._may_open():
            return self._released()
        return self._inside() if self._fence else ""

    def _may_open(self) -> bool:
        """True while an opening fence may come, and once it has come."""
        opening = _OPENING.match(self._held)
        if opening is not None:
            self._fence, self._held = opening[1], self._held[opening.end() :]
            return True
        return len(self._held) <= MAX_HELD and _MAY_OPEN.match(self._held) is not None

    def _released(self) -> str:
        self._plain, said, self._held = True, self._held, ""
        return said

    def _inside(self) -> str:
        """Hold back white space and marks at the end: they may be the closing fence."""
        end = _line(self._fence).search(self._held)
        if end is not None and self._held[end.end() :].strip(_BLANK + self._fence[0]):
            return self._released()
        kept = len(self._held.rstrip().rstrip(self._fence[0]).rstrip())
        kept = max(kept, len(self._held) - MAX_HELD)
        said, self._held = self._held[:kept], self._held[kept:]
        return said

    def close(self) -> str:
        """Returns the rest, without a closing fence."""
        if self.whole:
            return unfenced(self._held)
        is_closing = bool(self._fence) and self._fence in self._held
        return "" if is_closing or (self._fence and not self._held.strip()) else self._released()
