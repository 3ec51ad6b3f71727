"""The port that Prometheus scrapes, and that is asked whether the process makes progress."""

from __future__ import annotations

import io
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from router.domain.errors import PortTaken

if TYPE_CHECKING:  # exists for type checkers only
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

POLL_S = 0.05
"""How long a shutdown may take to be noticed: the standard half second would delay every stop."""
READ_S = 5.0
LIVE, READY = "/live", "/ready"
_WHY = {LIVE: b"the event loop makes no progress\n", READY: b"requests are not answered\n"}


class MetricsServer:
    """Serves a registry at /metrics on a thread of its own until closed; port 0 picks a free one.

    /live is answered 200 while `alive()`, else 503; so is /ready while it lives and `serves()`.
    Raises PortTaken.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        host: str,
        port: int,
        alive: Callable[[], bool] = lambda: True,
        serves: Callable[[], bool] | None = None,
    ) -> None:
        try:
            family, address = _resolved(host, port)
            self._server = _SERVERS[family](address, _Handler)
        except (OSError, UnicodeError, LookupError):
            what = f"can't listen on {host}:{port}: change server.host or server.metrics_port"
            raise PortTaken(what) from None
        probes = {LIVE: alive}
        if serves is not None:
            probes[READY] = lambda: alive() and serves()
        self._server.set_app(_with_probes(make_wsgi_app(registry), probes))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,), name="metrics", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _with_probes(
    metrics: WSGIApplication, probes: Mapping[str, Callable[[], bool]]
) -> WSGIApplication:
    def answered(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path not in probes:
            return metrics(environ, start)
        good = probes[path]()
        start("200 OK" if good else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [path[1:].encode() + b"\n" if good else _WHY[path]]

    return answered


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Without the standard look-up of the host's name, which may wait for a name server."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, *_: object) -> None:
        """The standard one prints what the exception says; a caller who leaves is one, too."""
        structlog.get_logger("metrics").info("scrape failed", error=type(sys.exception()).__name__)


class _ServerV6(_Server):
    """Listens on `::` for IPv4 as well, as the API does."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        if hasattr(socket, "IPPROTO_IPV6"):
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


_SERVERS: dict[int, type[_Server]] = {socket.AF_INET: _Server, socket.AF_INET6: _ServerV6}


def _resolved(host: str, port: int) -> tuple[int, Any]:
    """Family and address of a host; IPv4 where a name has both. Raises OSError, UnicodeError."""
    bare = host.removeprefix("[").removesuffix("]") or None
    found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda row: row[0] != socket.AF_INET)
    return family, address


class _Handler(WSGIRequestHandler):
    timeout = READ_S

    def log_message(self, *_: object) -> None:
        """Scrapes are no news."""

    def get_stderr(self) -> io.StringIO:
        """Print no traceback of a scrape that fails: the scraper's 500 says enough."""
        return io.StringIO()
