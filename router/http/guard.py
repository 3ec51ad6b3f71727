"""One HTTP request from head to last byte: who calls, how much at once, what an error is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn

from router.domain.errors import FieldViolation, RouterError, ShuttingDown, Unauthenticated
from router.domain.tenants import Tenant
from router.doors.house import CANCELLED, REQUEST_ID, TRACE_PARENT, CallBook, House
from router.http.bodies import Receive, check_content_type, check_length, read_body
from router.http.exchange import ErrorForm, Exchange
from router.http.status import (
    LEFT,
    OWN_FAULT,
    UnknownMethod,
    UnknownPath,
    internal_problem,
    problem_of,
    status_of,
)

UNKNOWN: Final = "unknown"
"""The method, in log and metrics, of what no route is for."""
NAMED_STEP: Final = 3
ANY: Final = "*"
"""Stands in the path of a route where a request names something: /v1/models/*."""
BEARER: Final = b"bearer "
CARRIED: Final = [(name, name.encode()) for name in (REQUEST_ID, TRACE_PARENT, "tracestate")]
"""Headers by which a request is found again in its caller's log and trace."""
Authenticate = Callable[[str], Awaitable[Tenant]]


@dataclass(frozen=True, slots=True)
class Route:
    """name: as metrics and logs have it. form: of its errors. has_body: the handler is given one.

    has_key: only tenants are served. is_open: to probes, of which nothing is told.
    """

    name: str
    handle: Callable[[Exchange, bytes], Awaitable[None]]
    form: ErrorForm
    has_body: bool = True
    has_key: bool = True
    is_open: bool = False


class RequestGuard:
    """The ASGI application. routes: by path, then by method. form: of errors beside the routes."""

    def __init__(
        self,
        routes: Mapping[str, Mapping[str, Route]],
        form: ErrorForm,
        authenticate: Authenticate,
        calls: CallBook,
        house: House,
        *,
        body_bytes: int,
        body_s: float,
        stall_s: float,
    ) -> None:
        self._routes = routes
        self._form = form
        self._authenticate = authenticate
        self._calls = calls
        self._house = house
        self._body_bytes = body_bytes
        self._body_s = body_s
        self._stall_s = stall_s

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        calls = self._calls
        task = calls.enter()
        path, named = self._place(scope["path"])
        methods = self._routes.get(path, {})
        # A handler's answer to HEAD is that to GET; the server leaves its body out.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        route = methods.get(method) or _nowhere(methods, self._form)
        headers = dict(reversed(scope["headers"]))  # the first of several of one name counts
        span = "" if route.is_open else f"{method} {path}" if methods else method
        told = calls.begin(route.name, span, _carried(headers))
        line = scope["state"]["line"]
        heard = partial(_heard, receive, line)
        call = Exchange(headers, named, line, told, heard, send, self._stall_s, route.form)
        line.on_lost = partial(_left, call, task)
        try:
            await self._served(route, call)
        except RouterError as error:
            told.failed(error, status_of(type(error)))
            await call.tell_why(problem_of(error))
        except asyncio.CancelledError:
            if not call.is_gone and not calls.is_cut:
                raise
            task.uncancel()
            told.code, told.status = CANCELLED, LEFT
            if not call.is_gone:
                told.failed(stopping := _shutting_down(), status_of(ShuttingDown))
                await call.tell_why(problem_of(stopping))
        except Exception as error:  # noqa: BLE001 - the last line of defence, told by type only
            told.status = OWN_FAULT
            await call.tell_why(internal_problem(calls.internal(told, error)))
        finally:
            line.on_lost = None
            calls.leave(task)
            told.tenant = call.tenant.name
            if not route.is_open:
                calls.end(told)

    def _place(self, path: str) -> tuple[str, str]:
        """Returns the path as the routes have it, and what is named in it."""
        if path in self._routes:
            return path, ""
        steps = path.split("/")
        if len(steps) <= NAMED_STEP:
            return path, ""
        named, steps[NAMED_STEP] = steps[NAMED_STEP], ANY
        return "/".join(steps), named

    async def _served(self, route: Route, call: Exchange) -> None:
        if not route.has_key:
            await route.handle(call, b"")
            return
        call.tenant = await self._authenticate(_api_key(call.headers))
        if route.has_body:
            check_content_type(call.headers)
            check_length(call.headers, self._body_bytes)
        read = partial(self._body, route, call)
        async with self._house.admitted(call.tenant, route.name, read) as body:
            await route.handle(call, body)

    async def _body(self, route: Route, call: Exchange) -> tuple[bytes, int]:
        body = b""
        if route.has_body:
            body = await read_body(call.receive, self._body_bytes, self._body_s)
            call.is_read = True
        return body, len(body)


async def _heard(receive: Receive, line: Any) -> Any:
    """Returns a message of the connection. Raises the fault of a body that can't be parsed."""
    message = await receive()
    if line.fault is not None:
        raise line.fault
    return message


def _left(call: Exchange, task: asyncio.Task[Any]) -> None:
    call.is_gone = True
    task.cancel()


def _carried(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name: headers[key].decode("latin-1") for name, key in CARRIED if key in headers}


def _nowhere(methods: Mapping[str, Route], form: ErrorForm) -> Route:
    """Returns the route of a request that none is for; it answers without asking for a key."""

    async def refuse(_: Exchange, __: bytes) -> NoReturn:
        if methods:
            raise UnknownMethod(tuple(methods))
        raise UnknownPath(FieldViolation("path", "nothing is served here"))

    of_path = next((route.form for route in methods.values()), form)
    return Route(UNKNOWN, refuse, of_path, has_key=False)


def _api_key(headers: Mapping[bytes, bytes]) -> str:
    """The key, or nothing without one: whether that will do is the service's business."""
    told = headers.get(b"authorization", b"")
    if not told:
        return headers.get(b"x-api-key", b"").decode("latin-1").strip()
    if not told.lower().startswith(BEARER):
        raise Unauthenticated("send the key as `Authorization: Bearer KEY` or `x-api-key: KEY`")
    return told[len(BEARER) :].decode("latin-1").strip()


def _shutting_down() -> ShuttingDown:
    return ShuttingDown("the router is stopping: send the request again, to another replica")
