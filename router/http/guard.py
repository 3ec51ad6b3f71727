"""One HTTP request from head to last byte: who calls, how much at once, what an error is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn, Protocol
from uuid import uuid4

import structlog

from router.domain.errors import (
    FieldViolation,
    RouterError,
    ShuttingDown,
    Unauthenticated,
)
from router.domain.tenants import Tenant
from router.doors.house import House
from router.http.bodies import Receive, check_content_type, check_length, read_body
from router.http.exchange import JSON, Exchange, encoded
from router.http.status import (
    Problem,
    UnknownMethod,
    UnknownPath,
    internal_problem,
    problem_of,
)

NAMED_STEP: Final = 3
ANY: Final = "*"
"""Stands in the path of a route where a request names something: /v1/models/*."""
BEARER: Final = b"bearer "
DRAIN_S: Final = 2.0
"""Time for a caller that was refused while it sends to read why."""
Authenticate = Callable[[str], Awaitable[Tenant]]
Observe = Callable[[str, str, float], None]


class ErrorForm(Protocol):
    """The form that a dialect gives to errors."""

    def whole(self, problem: Problem) -> dict[str, Any]: ...

    def event(self, problem: Problem) -> bytes:
        """As the last event of a stream."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """name: as metrics and logs have it. is_open: to probes without a key. form: of its errors.

    has_body: the handler is given one.
    """

    name: str
    handle: Callable[[Exchange, bytes], Awaitable[None]]
    form: ErrorForm
    has_body: bool = True
    is_open: bool = False


class RequestGuard:
    """The ASGI application. routes: by path, then by method.

    observe(method, code, seconds) is told of every request. form: of errors beside the routes.
    """

    def __init__(
        self,
        routes: Mapping[str, Mapping[str, Route]],
        form: ErrorForm,
        authenticate: Authenticate,
        observe: Observe,
        house: House,
        *,
        body_bytes: int,
        body_s: float,
        stall_s: float,
    ) -> None:
        self._routes = routes
        self._form = form
        self._authenticate = authenticate
        self._observe = observe
        self._house = house
        self._body_bytes = body_bytes
        self._body_s = body_s
        self._stall_s = stall_s
        self._under_way: set[asyncio.Task[Any]] = set()
        self._cut = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._log = structlog.get_logger("http")

    @property
    def in_flight(self) -> int:
        return len(self._under_way)

    def cut(self) -> None:
        """End every request under way, and tell its caller why."""
        self._cut = True
        for task in self._under_way:
            task.cancel()

    async def idle(self) -> None:
        """Returns when no request is under way."""
        await self._idle.wait()

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        began_s, code = time.perf_counter(), "OK"
        task = self._enter()
        methods, rest = self._methods(scope["path"])
        route = methods.get(scope["method"])
        call = Exchange(dict(scope["headers"]), rest, scope["state"]["line"], send, self._stall_s)
        call.line.on_lost = partial(_left, call, task)
        form = route.form if route else next((r.form for r in methods.values()), self._form)
        try:
            await self._served(route or _nowhere(methods), call, receive)
        except RouterError as error:
            code = error.reason
            await self._tell_why(call, form, problem_of(error), receive)
        except asyncio.CancelledError:
            code = "CANCELLED"
            if not call.is_gone and not self._cut:
                raise
            task.uncancel()
            if self._cut and not call.is_gone:
                code = ShuttingDown.reason
                await self._tell_why(call, form, problem_of(_shutting_down()), receive)
        except Exception as error:  # noqa: BLE001 - the last line of defence, told by type only
            code, error_id = "INTERNAL", uuid4().hex
            self._log.error("internal", error=type(error).__name__, error_id=error_id)
            await self._tell_why(call, form, internal_problem(error_id), receive)
        finally:
            call.line.on_lost = None
            seconds = time.perf_counter() - began_s
            self._leave(task)
            name = route.name if route else "unknown"
            if not (route and route.is_open):
                asyncio.get_running_loop().call_soon(self._tell, call, name, code, seconds)

    def _methods(self, path: str) -> tuple[Mapping[str, Route], str]:
        found = self._routes.get(path)
        if found is not None:
            return found, ""
        steps = path.split("/")
        if len(steps) <= NAMED_STEP:
            return {}, ""
        name, steps[NAMED_STEP] = steps[NAMED_STEP], ANY
        return self._routes.get("/".join(steps), {}), name

    async def _served(self, route: Route, call: Exchange, receive: Receive) -> None:
        if route.is_open:
            await route.handle(call, b"")
            return
        call.tenant = await self._authenticate(_api_key(call.headers))
        if route.has_body:
            check_content_type(call.headers)
            check_length(call.headers, self._body_bytes)
        read = partial(self._body, route, call, receive)
        async with self._house.admitted(call.tenant, route.name, read) as body:
            await route.handle(call, body)

    async def _body(self, route: Route, call: Exchange, receive: Receive) -> tuple[bytes, int]:
        body = b""
        if route.has_body:
            body = await read_body(receive, self._body_bytes, self._body_s)
            call.is_read = True
        return body, len(body)

    async def _tell_why(
        self, call: Exchange, form: ErrorForm, problem: Problem, receive: Receive
    ) -> None:
        """Answer with the error, or end a stream that was begun with it."""
        if call.is_gone:
            return
        try:
            if call.is_begun:
                await call.write(form.event(problem), more=False)
            elif call.is_read or not _has_body(call.headers):
                await call.reply(problem.status, form.whole(problem), problem.headers)
            else:
                await self._refuse_unread(call, form, problem, receive)
        except RouterError:
            pass  # reads nothing, not even that
        except asyncio.CancelledError:
            if not call.is_gone:
                raise
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - within one
            task.uncancel()

    async def _refuse_unread(
        self, call: Exchange, form: ErrorForm, problem: Problem, receive: Receive
    ) -> None:
        """Answer while the body is on its way: closed at once, its caller would not read why."""
        body = encoded(form.whole(problem))
        length = (b"content-length", b"%d" % len(body))
        await call.begin(
            problem.status, [JSON, length, *problem.headers, (b"connection", b"close")]
        )
        await call.write(body)
        try:
            async with asyncio.timeout(DRAIN_S):
                while (await receive()).get("more_body"):
                    pass
        except TimeoutError:
            pass
        await call.write(b"", more=False)

    def _enter(self) -> asyncio.Task[Any]:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - uvicorn runs each request in one
        self._under_way.add(task)
        self._idle.clear()
        return task

    def _leave(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not self._under_way:
            self._idle.set()

    def _tell(self, call: Exchange, name: str, code: str, seconds: float) -> None:
        self._observe(name, code, seconds)
        self._log.info(
            "call",
            method=name,
            code=code,
            tenant=call.tenant.name,
            decision_id=call.decision_id,
            latency_ms=round(seconds * 1_000, 2),
        )


def _left(call: Exchange, task: asyncio.Task[Any]) -> None:
    call.is_gone = True
    task.cancel()


def _has_body(headers: Mapping[bytes, bytes]) -> bool:
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def _nowhere(methods: Mapping[str, Route]) -> NoReturn:
    if not methods:
        raise UnknownPath(FieldViolation("path", "nothing is served here"))
    raise UnknownMethod(FieldViolation("method", f"send {' or '.join(methods)}"))


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
