"""One HTTP seam for all providers: bounded, timed, its errors mapped to the tree once."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import httpcore
import msgspec

from router.adapters.providers.dialect import Assembler, Dialect
from router.adapters.providers.failures import pause_of_headers
from router.adapters.providers.failures import told as failed
from router.adapters.providers.network import OnePieceBackend
from router.adapters.providers.progress import DRIVER_ERRORS, CallProgress
from router.adapters.providers.proxy import ProxiedPool, ProxyRules
from router.adapters.providers.sse import EventReader
from router.adapters.providers.witness import Sender
from router.domain import MS_PER_S
from router.domain.catalog import Deployment
from router.domain.chat import Answer, ChatRequest, Delta
from router.domain.errors import (
    ConfigInvalid,
    ConfigProblem,
    ProviderMalformed,
    ProviderRefusedRequest,
)
from router.ports import Clock

MAX_BODY_BYTES = 8 * 1024 * 1024
CONNECT_S = 5.0
KEEPALIVE_S = 30.0
MAX_CONNECTIONS = 512
DRAIN_S = 0.05
MAX_DRAIN_BYTES = 64 * 1024
# Each attempt has its own time limit over all of this; only connecting is bounded here.
_TIMEOUTS = {"connect": CONNECT_S, "pool": CONNECT_S, "read": None, "write": None}
_HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "accept-encoding": "identity",  # what is read is what was sent: no body unfolds in memory
    "user-agent": "adaptive-router",
}
_encode = msgspec.json.Encoder().encode

_Headers: TypeAlias = list[tuple[bytes, bytes]]


def make_client(
    max_connections: int = MAX_CONNECTIONS,
    *,
    http2: bool = False,
    ca_file: Path | None = None,
    proxies: ProxyRules | None = None,
) -> httpcore.AsyncConnectionPool:
    """Pooled connections, for use as a context manager. max_connections: over all providers.

    The pool alone: what a whole client adds (redirects, cookies, auth) must not happen here, and
    costs half a millisecond a call.

    http2: offer it to providers. Off by default: over HTTP/2 httpcore never resets the stream of
    a call that was given up, so the provider writes on at our expense, and after a hundred such
    calls the connection refuses all others. Closing a connection of its own ends a call.

    ca_file: authorities to trust besides the public ones, PEM. Raises OSError (ssl.SSLError) for a
    file that holds none.

    proxies: that some go through, rather than all the direct way.
    """
    pool: Callable[..., httpcore.AsyncConnectionPool] = httpcore.AsyncConnectionPool
    if proxies is not None and proxies.by_scheme:
        pool = partial(ProxiedPool, proxies)
    return pool(
        max_connections=max_connections,
        keepalive_expiry=KEEPALIVE_S,
        ssl_context=trusted(ca_file),
        http2=http2,
        network_backend=httpcore.AnyIOBackend() if http2 else OnePieceBackend(),
    )


def trusted(ca_file: Path | None) -> ssl.SSLContext:
    """Returns a context of the public authorities and those of the file. Raises OSError."""
    context = httpcore.default_ssl_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def trust_authorities(client: httpcore.AsyncConnectionPool, ca_file: Path | None) -> None:
    """Let new connections trust what the file holds by now; those that stand go on.

    Raises ConfigInvalid.
    """
    if ca_file is None:
        return
    try:
        client._ssl_context = trusted(ca_file)  # noqa: SLF001 - read at every new connection
    except OSError:
        fix = "name a PEM file of certificates that can be read"
        raise ConfigInvalid(ConfigProblem("", 0, "providers.ca_file", fix)) from None


class HttpProvider:
    """Implements `router.ports.upstream.Provider`. keys: deployment name -> API key."""

    def __init__(
        self,
        client: Sender,
        dialect: Dialect,
        keys: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self._client = client
        self._dialect = dialect
        self._keys = keys
        self._clock = clock
        self._targets: dict[tuple[Deployment, bool], tuple[httpcore.URL, _Headers]] = {}

    async def complete(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> Answer:
        progress = CallProgress()
        opened = self._opened(deployment, request, progress, stream=False)
        hurried = timeout_ms < deployment.timeout_ms
        async with progress.bounded(timeout_ms, hurried=hurried), opened as response:
            body = await _bounded_body(response)
            return self._dialect.answer(body, deployment, request)

    async def stream(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> AsyncGenerator[Delta | Answer]:
        assembler = self._dialect.assembler(deployment, request)
        now_s = asyncio.get_running_loop().time
        progress, left_ms = CallProgress(), timeout_ms
        # The first piece of the body, and each further one, has a limit of its own.
        piece_ms = deployment.first_byte_ms or deployment.timeout_ms
        async with aclosing(self._events(deployment, request, assembler, progress)) as batches:
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

    async def _events(
        self,
        deployment: Deployment,
        request: ChatRequest,
        assembler: Assembler,
        progress: CallProgress,
    ) -> AsyncGenerator[list[Delta]]:
        """Yields what each piece of the body adds to the answer, until its end.

        Comments are no piece: who is kept waiting by them waits all the same.
        """
        reader = EventReader(MAX_BODY_BYTES)
        async with self._opened(deployment, request, progress, stream=True) as response:
            chunks = response.aiter_stream()
            async for chunk in chunks:
                deltas = [d for event in reader.feed(chunk) for d in assembler.feed(event)]
                if reader.said:
                    reader.said = False
                    yield deltas
                if assembler.ended:
                    await _drain(chunks)
                    return

    @asynccontextmanager
    async def _opened(
        self, deployment: Deployment, chat: ChatRequest, progress: CallProgress, *, stream: bool
    ) -> AsyncIterator[httpcore.Response]:
        with _carried():
            body = _encode(self._dialect.body(deployment, chat, stream=stream))
        url, headers = self._target(deployment, stream=stream)
        request = httpcore.Request(
            "POST",
            url,
            headers=[*headers, (b"content-length", b"%d" % len(body))],
            content=body,
            extensions={"timeout": _TIMEOUTS, "trace": progress.trace},
        )
        try:
            response = await self._client.handle_async_request(request)
        except DRIVER_ERRORS:
            raise progress.broke_off() from None
        try:
            told = {name.lower(): value.decode("latin-1") for name, value in response.headers}
            if response.status != HTTPStatus.OK:
                await _drain(response.aiter_stream())
                pause_ms = pause_of_headers(told, self._clock())
                raise failed(None, response.status, pause_ms)
            if told.get(b"content-encoding", "identity") != "identity":
                raise ProviderMalformed("the provider's answer is compressed, against the request")
            yield response
        finally:
            await response.aclose()

    def _target(self, deployment: Deployment, *, stream: bool) -> tuple[httpcore.URL, _Headers]:
        """Parsed once per deployment; deployments are as many as the config names."""
        found = self._targets.get((deployment, stream))
        if found is None:
            url = deployment.base_url + self._dialect.path(deployment, stream=stream)
            own = self._dialect.headers(self._keys.get(deployment.name, ""))
            host = {"host": urlsplit(url).netloc.rpartition("@")[2]}
            headers = {**_HEADERS, **host, **own}.items()
            found = httpcore.URL(url), [(name.encode(), text.encode()) for name, text in headers]
            self._targets[deployment, stream] = found
        return found


@contextmanager
def _carried() -> Iterator[None]:
    """The caller's own request must never count against a deployment."""
    try:
        yield
    except (ValueError, RecursionError):
        raise ProviderRefusedRequest("this protocol can't carry the request") from None


async def _bounded_body(response: httpcore.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ProviderMalformed(f"the provider's answer exceeds {MAX_BODY_BYTES} bytes")
    return bytes(body)


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read the little that is left, for only a body read to its end frees its connection."""
    left = MAX_DRAIN_BYTES
    with suppress(*DRIVER_ERRORS):
        async with asyncio.timeout(DRAIN_S):
            async for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    return
