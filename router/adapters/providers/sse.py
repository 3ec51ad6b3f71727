"""Server-sent events, as far as chat APIs use them (WHATWG HTML, 9.2): data only, no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from router.domain.errors import ProviderMalformed


class EventReader:
    """Cuts a body into events. max_bytes: of the whole body, so also of any line or event.

    said: more than comments and blank lines came since it was last set to False. Servers and
    proxies send those to keep a connection open while there is no answer.
    """

    def __init__(self, max_bytes: int) -> None:
        self.said = False
        self._left = max_bytes
        self._line: list[bytes] = []
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of every event that this chunk completes.

        Raises ProviderMalformed past max_bytes. What no blank line has ended is no event.
        """
        self._left -= len(chunk)
        if self._left < 0:
            raise ProviderMalformed("the provider's stream is too large")
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            # Pieces are joined once per line: a line that comes byte by byte costs no more.
            line = b"".join([*self._line, end]).removesuffix(b"\r")
            self._line = []
            self._hear(line)
            yield from self._read(line)
        if rest:
            self._line.append(rest)
            self._hear(self._line[0])

    def _hear(self, line: bytes) -> None:
        self.said = self.said or not (line in (b"", b"\r") or line.startswith(b":"))

    def _read(self, line: bytes) -> Iterator[bytes]:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            event, self._data = b"\n".join(self._data), []
            yield event
