"""Answers to what never comes to a handler: no HTTP, a head too large or too slow."""

from __future__ import annotations

from collections.abc import Mapping

from router.domain.errors import RouterError
from router.doors.house import CallBook
from router.http.exchange import IDS, JSON, ErrorForm, encoded
from router.http.guard import UNKNOWN, Route
from router.http.status import problem_of


class Refusals:
    """Writes them in the form of the dialect that the URL is for, and tells of each."""

    def __init__(
        self, routes: Mapping[str, Mapping[str, Route]], form: ErrorForm, calls: CallBook
    ) -> None:
        self._routes = routes
        self._form = form
        self._calls = calls

    def __call__(self, url: bytes, error: RouterError) -> bytes:
        """Returns a whole response."""
        problem = problem_of(error)
        told = self._calls.begin(UNKNOWN, "", {})
        told.failed(error, problem.status)
        self._calls.end(told)
        body = encoded(self._form_of(url).whole(problem))
        given = [
            JSON,
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *((name, told.request_id.encode()) for name in IDS),
            *problem.headers,
        ]
        lines = b"".join(b"%s: %s\r\n" % each for each in given)
        return b"HTTP/1.1 %d \r\n%s\r\n%s" % (problem.status, lines, body)

    def _form_of(self, url: bytes) -> ErrorForm:
        path = url.partition(b"?")[0].decode("latin-1")
        return next((route.form for route in self._routes.get(path, {}).values()), self._form)
