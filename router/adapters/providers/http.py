"""One HTTP seam for all providers: bounded, timed, its errors mapped to the tree once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import httpcore
import msgspec
from msgspec import UNSET

from router.adapters.providers.dialect import Assembler, Dialect, Json
from router.adapters.providers.network import close_idle
from router.adapters.providers.refusals import read_refusal, unfolded, web_page
from router.adapters.providers.sending.bodies import headers_of
from router.adapters.providers.sending.originals import with_headers
from router.adapters.providers.sending.rule_book import RuleBook
from router.adapters.providers.sse import BOM, EventReader
from router.adapters.providers.way_faults import (
    DRIVER_ERRORS,
    ClosedUnanswered,
    WayFault,
    way_fault,
)
from router.domain import MS_PER_S
from router.domain.catalog import Deployment
from router.domain.chat import Answer, ChatRequest, Delta, Unseen
from router.domain.errors import (
    ConnectionsExhausted,
    ProviderDisconnected,
    ProviderError,
    ProviderMalformed,
    ProviderRefusedRequest,
    ProviderTimeout,
    ProviderUnavailable,
)
from router.ports import Clock
from router.ports.observer import NO_TRACER, Tracer

MAX_BODY_BYTES = 8 * 1024 * 1024
CONNECT_S = 5.0
DRAIN_S = 0.05
MAX_DRAIN_BYTES = 64 * 1024
MOST_FORMS = 3
"""Forms in which one request is sent: a model that refuses a field may refuse another."""
LEAST_SECRET = 8
MOST_SENDINGS: Final = 3
LEFT_S: Final = 1.0
"""A server closes an idle connection within a round trip of a request that crosses it; one that
closes later has begun to work on it."""
_REFUSED_STREAM: Final = 7
# Each attempt has its own time limit over all of this; only connecting is bounded here.
_TIMEOUTS = {"connect": CONNECT_S, "pool": CONNECT_S, "read": None, "write": None}
_HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "accept-encoding": "identity",
    "user-agent": "adaptive-router",
}
_TOO_LARGE = f"the provider's answer exceeds {MAX_BODY_BYTES} bytes"
_BLANK = b" \t\r\n"
_encode = msgspec.json.Encoder().encode

_Headers: TypeAlias = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class CallProgress:
    """One call's way from waiting for a connection to the request being sent.

    What was not sent is not charged; who was not even called is not to blame.

    connecting: for this call. shares: the connection carries other calls too, as in HTTP/2.
    sent_s: when the request went out, on the loop's clock. refusal: what the status stands for,
    while its body is read.
    """

    connecting: bool = False
    sent: bool = False
    shares: bool = False
    sent_s: float = 0.0
    refusal: ProviderError | None = None

    async def trace(self, event: str, _: object) -> None:
        """Follows the `trace` extension of httpcore."""
        self.connecting = self.connecting or event == "connection.connect_tcp.started"
        if event.endswith(".send_request_headers.started"):
            self.sent, self.sent_s = True, asyncio.get_running_loop().time()
            self.shares = event.startswith("http2.")

    async def sent_by(
        self, client: httpcore.AsyncConnectionPool, request: httpcore.Request
    ) -> httpcore.Response:
        """Send a request; again where a kept connection was closed as the request went out.

        Raises ProviderUnavailable and ProviderDisconnected.
        """
        self.refusal = None
        for _ in range(MOST_SENDINGS):
            try:
                return await client.handle_async_request(request)
            except DRIVER_ERRORS as error:
                if not self._was_left(error):
                    raise self.broke_off(way_fault(error)) from None
                self.sent = self.connecting = False
                await close_idle(client, request.url.origin)
        raise self.broke_off() from None

    def _was_left(self, error: BaseException) -> bool:
        """True if a connection that had served before ended without a byte, soon after sending."""
        if self.connecting or not self.sent:
            return False
        if asyncio.get_running_loop().time() - self.sent_s > LEFT_S:
            return False
        return _is_unprocessed(error) if self.shares else isinstance(error, ClosedUnanswered)

    def refused(self, refusal: ProviderError) -> None:
        """Stands for the answer until its body is read."""
        self.refusal = refusal

    def timed_out(self) -> ProviderError:
        if self.refusal is not None:
            return self.refusal
        if self.sent:
            return ProviderTimeout("the provider did not answer in time")
        if self.connecting:
            return _unreached("the provider could not be reached in time", WayFault.LATE.value)
        return ConnectionsExhausted("no connection came free in time")

    def broke_off(self, fault: WayFault | None = None) -> ProviderError:
        """Returns the error of a connection that ended before any answer."""
        code = fault.value if fault else ""
        if self.sent:
            message = "the provider closed the connection without an answer"
            return ProviderDisconnected(message, code=code)
        return _unreached("the provider could not be reached", code)

    @asynccontextmanager
    async def bounded(self, limit_ms: float, *, hurried: bool = False) -> AsyncIterator[None]:
        """Every driver error within becomes one of the tree, without its words.

        A cancellation before anything was sent has as its cause what a timeout then had been.

        hurried: the limit is shorter than the deployment's own.
        """
        if limit_ms <= 0 and not self.sent:
            late = self.timed_out()
            late.hurried = hurried
            raise late
        try:
            async with asyncio.timeout(max(0.0, limit_ms) / 1_000) as limit:
                yield
        except ProviderError:
            raise
        except asyncio.CancelledError as left:
            is_open = self.sent and self.refusal is None
            raise left from None if is_open else self.timed_out()
        except (TimeoutError, httpcore.TimeoutException):
            error = self.timed_out()
            error.hurried = hurried and limit.expired() and self.refusal is None
            raise error from None
        except DRIVER_ERRORS:
            raise ProviderMalformed("the provider broke off in the middle of its answer") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ProviderMalformed("the provider's answer does not follow its protocol") from None


def _unreached(message: str, code: str) -> ProviderError:
    error = ProviderUnavailable(message, code=code)
    error.unreached = True
    return error


def _is_unprocessed(error: BaseException) -> bool:
    """True but for a stream of HTTP/2 that its server reset after it had begun to work on it."""
    event = error.args[0] if error.args else None
    return not hasattr(event, "stream_id") or getattr(event, "error_code", 0) == _REFUSED_STREAM


class HttpProvider:
    """Implements `router.ports.upstream.Provider`. keys: deployment name -> API key.

    headers: deployment name -> further headers.
    """

    def __init__(
        self,
        client: httpcore.AsyncConnectionPool,
        dialect: Dialect,
        keys: Mapping[str, str],
        clock: Clock,
        headers: Mapping[str, Mapping[str, str]] | None = None,
        *,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._tracer = tracer
        self._client = client
        self._rules = RuleBook()
        self._further = headers or {}
        self._dialect = dialect
        self._keys = keys
        self._clock = clock
        self._targets: dict[tuple[Deployment, bool], tuple[httpcore.URL, _Headers]] = {}

    async def complete(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> Answer:
        deployment, progress = self._rules[deployment], CallProgress()
        assembler = self._dialect.assembler(deployment, request)
        hurried = timeout_ms < deployment.timeout_ms
        opened = self._opened(deployment, request, progress, stream=False)
        async with progress.bounded(timeout_ms, hurried=hurried), opened as chunks:
            async for _ in _read(chunks, assembler):
                pass
            return assembler.finish()

    async def stream(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> AsyncGenerator[Delta | Unseen | Answer]:
        deployment = self._rules[deployment]
        assembler = self._dialect.assembler(deployment, request)
        now_s = asyncio.get_running_loop().time
        progress, left_ms = CallProgress(), timeout_ms
        # The first piece of the body, and each further one, has a limit of its own.
        piece_ms = deployment.first_byte_ms or deployment.timeout_ms
        async with aclosing(self._batches(deployment, request, assembler, progress)) as batches:
            while True:
                # The limit covers waiting for the upstream, never the caller's own pace.
                began_s = now_s()
                limit_ms = min(left_ms, piece_ms)
                hurried = left_ms < piece_ms and timeout_ms < deployment.timeout_ms
                async with progress.bounded(limit_ms, hurried=hurried):
                    deltas = await anext(batches, None)
                left_ms -= (now_s() - began_s) * MS_PER_S
                piece_ms = deployment.between_bytes_ms or deployment.timeout_ms
                if deltas is None:
                    break
                for delta in deltas:
                    yield delta
        yield assembler.finish()

    async def _batches(
        self,
        deployment: Deployment,
        request: ChatRequest,
        assembler: Assembler,
        progress: CallProgress,
    ) -> AsyncGenerator[list[Delta | Unseen]]:
        opened = self._opened(deployment, request, progress, stream=True)
        async with opened as chunks, aclosing(_read(chunks, assembler)) as batches:
            async for deltas in batches:
                yield deltas

    @asynccontextmanager
    async def _opened(
        self, deployment: Deployment, chat: ChatRequest, progress: CallProgress, *, stream: bool
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yields the body of a good answer. Raises ProviderError."""
        try:
            response = await self._answered(deployment, chat, progress, stream=stream)
            try:
                coding = _headers_of(response).get(b"content-encoding", "identity")
                chunks = response.aiter_stream()
                yield chunks if coding == "identity" else unfolded(chunks, coding)
            finally:
                await response.aclose()
        except ProviderError as error:
            told = f"{error.code} {error.parameter}"
            if any(secret in told for secret in self._secrets(deployment)):
                error.code = error.parameter = ""
            raise

    async def _answered(
        self, deployment: Deployment, chat: ChatRequest, progress: CallProgress, *, stream: bool
    ) -> httpcore.Response:
        """Send again what was refused for a field that it can do without; refusals are free."""
        known, before, refused = deployment, deployment, None
        for left in reversed(range(MOST_FORMS)):
            body, sent = self._written(known, chat, stream=stream)
            try:
                response = await self._sent(known, chat, sent, progress, stream=stream)
            except ProviderRefusedRequest as refusal:
                if refused:
                    if not self._rules.teaches(known, chat, body, refusal):
                        raise
                    self._rules.keep(before, known, refused)
                may_learn = left and (refused is None or refused.lasting)
                learned = may_learn and self._rules.learn(known, chat, body, refusal)
                if not learned:
                    raise
                known, before, refused = learned, known, refusal
                progress.sent = progress.connecting = False
            else:
                break
        if refused:
            self._rules.keep(before, known, refused)
        return response

    def _written(
        self, deployment: Deployment, chat: ChatRequest, *, stream: bool
    ) -> tuple[Json, bytes]:
        """The caller's own request must never count against a deployment."""
        try:
            body = self._dialect.body(deployment, chat, stream=stream)
            return body, _encode(body)
        except (ValueError, RecursionError):
            raise ProviderRefusedRequest("this protocol can't carry the request") from None

    async def _sent(
        self,
        deployment: Deployment,
        chat: ChatRequest,
        body: bytes,
        progress: CallProgress,
        *,
        stream: bool,
    ) -> httpcore.Response:
        """Returns a response whose status is good; it is the caller's to close."""
        url, headers = self._target(deployment, stream=stream)
        if chat.original is not UNSET and chat.original.headers:
            headers = with_headers(headers, chat.original, deployment.provider)
        request = httpcore.Request(
            "POST",
            url,
            headers=[*headers, (b"content-length", b"%d" % len(body)), *self._tracer.headers()],
            content=body,
            extensions={"timeout": _TIMEOUTS, "trace": progress.trace},
        )
        response = await progress.sent_by(self._client, request)
        if response.status // 100 == 2:  # noqa: PLR2004
            return response
        try:
            told = _headers_of(response)
            raise await read_refusal(response, told, progress.refused, self._clock(), body)
        finally:
            await response.aclose()

    def _secrets(self, deployment: Deployment) -> list[str]:
        """Returns the key, and what is long enough among the headers to be one."""
        key, further = self._keys.get(deployment.name), self._further.get(deployment.name, {})
        return [*filter(None, [key]), *(v for v in further.values() if len(v) >= LEAST_SECRET)]

    def _target(self, deployment: Deployment, *, stream: bool) -> tuple[httpcore.URL, _Headers]:
        """Parsed once per deployment; deployments are as many as the config names."""
        found = self._targets.get((deployment, stream))
        if found is None:
            url = deployment.base_url + self._dialect.path(deployment, stream=stream)
            key, further = self._keys.get(deployment.name, ""), self._further
            own = self._dialect.headers(key)
            own = headers_of(own, deployment.rules, key, further.get(deployment.name, {}))
            host = {"host": urlsplit(url).netloc.rpartition("@")[2]}
            headers = {**_HEADERS, **host, **own}.items()
            found = httpcore.URL(url), [(name.encode(), text.encode()) for name, text in headers]
            self._targets[deployment, stream] = found
        return found


def _headers_of(response: httpcore.Response) -> dict[bytes, str]:
    return {name.lower(): value.decode("latin-1") for name, value in response.headers}


async def _read(
    chunks: AsyncIterator[bytes], assembler: Assembler
) -> AsyncGenerator[list[Delta | Unseen]]:
    """Yields what each piece of a body adds to the answer, until its end.

    What came decides, and not what was asked for: JSON begins with a bracket, events do not.
    """
    first, left = b"", MAX_BODY_BYTES
    async for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise ProviderMalformed(_TOO_LARGE)
        first = (first + chunk).removeprefix(BOM).lstrip(_BLANK)
        if first and not BOM.startswith(first):
            break
    if first.startswith(b"<"):
        raise web_page(first)
    reading = _read_json if first.startswith((b"{", b"[")) else _read_events
    async for deltas in reading(first, chunks, assembler):
        yield deltas


async def _read_json(
    first: bytes, chunks: AsyncIterator[bytes], assembler: Assembler
) -> AsyncGenerator[list[Delta | Unseen]]:
    body = bytearray(first)
    yield []
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ProviderMalformed(_TOO_LARGE)
        if chunk.strip(_BLANK):
            yield []
    yield [*assembler.whole(bytes(body))]


async def _read_events(
    first: bytes, chunks: AsyncIterator[bytes], assembler: Assembler
) -> AsyncGenerator[list[Delta | Unseen]]:
    """Comments are no piece: who is kept waiting by them waits all the same."""
    reader, chunk = EventReader(MAX_BODY_BYTES), first
    while True:
        deltas = [d for event in reader.feed(chunk) for d in assembler.feed(event)]
        if deltas or reader.said:
            reader.said = False
            yield deltas
        if assembler.ended:
            await _drain(chunks)
            return
        try:
            following = await anext(chunks, None)
        except DRIVER_ERRORS:
            # Its last words are missing, no word of the answer.
            if not assembler.end:
                raise
            break
        if following is None:
            break
        chunk = following
    rest = [d for event in reader.close() for d in assembler.feed(event)]
    yield [*rest, *assembler.close()]


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read the little that is left, for only a body read to its end frees its connection."""
    left = MAX_DRAIN_BYTES
    with suppress(*DRIVER_ERRORS):
        async with asyncio.timeout(DRAIN_S):
            async for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    return
