"""Server-sent events, as far as chat APIs use them (WHATWG HTML, 9.2): data only, no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from router.adapters.providers.reading.fields import decoded
from router.domain.errors import ProviderMalformed

DONE: Final = b"[DONE]"
_STARTS: Final = (b"{", b"[")
BOM: Final = b"\xef\xbb\xbf"
_TELLING: Final = 64
"""Bytes of a line after which it is no ping any more."""
_PING: Final = re.compile(
    rb'\s*(?:\{\s*"type"\s*:\s*"(?:ping|heartbeat|keep_?-?alive)"[^"]*\}\s*)?'
)
_IDLE: Final = re.compile(rb"\s*(?:ping|heartbeat|keep_?-?alive)?\s*", re.IGNORECASE)


class ErrorEvent(bytes):
    """Data of an event whose name says that it tells of an error."""

    __slots__ = ()


class EventReader:
    """Cuts a body into events. max_bytes: of the whole body, so also of any line or event.

    said: more than comments, blank data and pings came since it was last set to False. Servers and
    proxies send those to keep a connection open while there is no answer.
    """

    def __init__(self, max_bytes: int) -> None:
        self.said = False
        self._left = max_bytes
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._name = b""
        self._is_first = True
        self._ended_by_cr = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of every event that this chunk completes; ErrorEvent for one named so.

        Raises ProviderMalformed past max_bytes.
        """
        self._left -= len(chunk)
        if self._left < 0:
            raise ProviderMalformed("the provider's stream is too large")
        *ends, rest = self._with_line_feeds(chunk).split(b"\n")
        for end in ends:
            line = end
            if self._line:
                # Joined once per line: one that comes byte by byte costs no more.
                line, self._line = b"".join([*self._line, end]), []
            if (event := self._read(line)) is not None:
                yield event
        if rest:
            self._line.append(rest)
            if not self.said:
                # Enough of it to tell, and no more: this is asked for every piece of a long line.
                self._hear_part(b"".join(part[:_TELLING] for part in self._line[:_TELLING]))

    def close(self) -> Iterator[bytes]:
        """Yield the data of a last event that no blank line ended, if it is whole."""
        line, self._line = b"".join(self._line), []
        if line and (event := self._read(line)) is not None:
            yield event
        if (data := self._ended()) is not None and _is_whole(data):
            yield data

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        """Returns the chunk with one kind of line end; a CR and its LF may come apart."""
        if self._ended_by_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._ended_by_cr = False
        if b"\r" not in chunk:
            return chunk
        self._ended_by_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _hear_part(self, line: bytes) -> None:
        """Note a line that is still coming, unless it may turn out to say nothing."""
        name, _, value = line.partition(b":")
        if name == b"data":
            self.said = len(line) >= _TELLING
        else:
            self.said = _says(name, value) and not b"ping".startswith(value.strip())

    def _read(self, line: bytes) -> bytes | None:
        """Returns the data of the event that a line ends, None for none."""
        if self._is_first:
            self._is_first, line = False, line.removeprefix(BOM)
        if not line:
            return self._ended()
        ended = None
        name, _, value = line.partition(b":")
        is_error = name == b"error"  # a field of llama.cpp's
        if line.startswith(b"{"):  # a gateway's own words, without a field's name
            name, value = b"data", line
        self.said = self.said or len(line) >= _TELLING or _says(name, value)
        if name == b"data" or is_error:
            # Some servers leave out the blank line between events.
            if len(self._data) == 1 and value.strip()[:1] in _STARTS and _is_whole(self._data[0]):
                ended = self._ended()
            self._data.append(value.removeprefix(b" "))
            self._name = name if is_error else self._name
        elif name == b"event":
            self._name = value.strip()
        return ended

    def _ended(self) -> bytes | None:
        name, self._name = self._name, b""
        if not self._data:
            return None
        data, self._data = b"\n".join(self._data), []
        if not data.strip():
            return None
        return ErrorEvent(data) if name == b"error" else data


def _says(name: bytes, value: bytes) -> bool:
    if name == b"data":
        return _PING.fullmatch(value) is None
    return name == b"error" or (name == b"event" and _IDLE.fullmatch(value) is None)


def _is_whole(data: bytes) -> bool:
    if data.strip().startswith(DONE):
        return True
    try:
        decoded(data)
    except ProviderMalformed:
        return False
    return True
