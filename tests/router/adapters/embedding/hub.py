"""A local HTTP server that stands where the hub does, and bad files for it to hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@dataclass(slots=True)
class Hub:
    """The server's contents and behavior.

    paths: of every request. asked: (file, Range header) of every one that was not sent elsewhere.
    breaks_after: bytes after which it drops the connection, once per file.
    """

    contents: dict[str, bytes]
    url: str = ""
    heeds_range: bool = True
    status: int = 200
    breaks_after: int | None = None
    broken: set[str] = field(default_factory=set)
    paths: list[str] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def ranges_of(self, name: str) -> list[str | None]:
        return [wanted for path, wanted in self.asked if path == name]


@contextmanager
def serving(contents: dict[str, bytes]) -> Iterator[Hub]:
    state = Hub(contents)

    class Handler(_Handler):
        hub = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        # The hub sends large files from elsewhere, so a client has to follow.
        if not self.path.startswith("/elsewhere/"):
            self.hub.paths.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"/elsewhere{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        name = self.path.rsplit("/", 1)[-1]
        self.hub.asked.append((name, self.headers.get("Range")))
        if self.hub.status != 200:
            self.send_error(self.hub.status)
            return
        self._send(name, self.hub.contents[name])

    def _send(self, name: str, content: bytes) -> None:
        start = self._start() if self.hub.heeds_range else 0
        self.send_response(206 if start else 200)
        if start:
            size = len(content)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content)
        if self.hub.breaks_after is not None and name not in self.hub.broken:
            self.hub.broken.add(name)
            end = start + self.hub.breaks_after
        try:
            self.wfile.write(content[start:end])
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client has seen enough

    def _start(self) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        return int(found[1]) if found else 0

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""
