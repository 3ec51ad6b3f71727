"""One HTTP seam for all providers: bounded, timed, its errors mapped to the tree once."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

import httpx
import msgspec

from router.adapters.providers.dialect import Dialect
from router.adapters.providers.sse import events_of
from router.core.arms import Deployment
from router.core.chat import Answer, ChatRequest, Delta
from router.core.errors import (
    ProviderError,
    ProviderMalformed,
    ProviderRateLimited,
    ProviderRefusedRequest,
    ProviderTimeout,
    ProviderUnauthorized,
    ProviderUnavailable,
)

MAX_BODY_BYTES = 8 * 1024 * 1024
CONNECT_S = 5.0
POOL_CONNECTIONS = 512
MAX_RETRY_AFTER_MS = 3_600_000
_MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError)
"""What reading a body of an unexpected shape raises."""
# Each attempt has its own time limit over all of this; only connecting is bounded here.
_TIMEOUTS = {"timeout": {"connect": CONNECT_S, "pool": CONNECT_S, "read": None, "write": None}}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def make_client() -> httpx.AsyncHTTPTransport:
    """Pooled, HTTP/2 where offered.

    The transport alone: what a whole client adds (redirects, cookies, auth, proxies from the
    environment) must not happen here, and costs half a millisecond a call.
    """
    limits = httpx.Limits(
        max_connections=POOL_CONNECTIONS, max_keepalive_connections=POOL_CONNECTIONS
    )
    return httpx.AsyncHTTPTransport(http2=True, limits=limits, trust_env=False)


class HttpProvider:
    """Implements `router.core.ports.Provider`. keys: deployment name -> API key."""

    def __init__(
        self, client: httpx.AsyncHTTPTransport, dialect: Dialect, keys: Mapping[str, str]
    ) -> None:
        self._client = client
        self._dialect = dialect
        self._keys = keys

    async def complete(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> Answer:
        async with _mapped(timeout_ms), self._opened(deployment, request, stream=False) as response:
            body = await _bounded_body(response)
            return self._dialect.answer(_decode(body), deployment, request)

    async def stream(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> AsyncGenerator[Delta | Answer]:
        assembler = self._dialect.assembler(deployment, request)
        until_s = asyncio.get_running_loop().time() + timeout_ms / 1_000
        async with aclosing(self._events(deployment, request)) as events:
            while True:
                # The limit covers waiting for the upstream, never the caller's own pace.
                async with _mapped((until_s - asyncio.get_running_loop().time()) * 1_000):
                    data = await anext(events, None)
                    deltas = list(assembler.feed(_decode(data))) if data is not None else []
                if data is None:
                    break
                for delta in deltas:
                    yield delta
        async with _mapped(timeout_ms):
            answer = assembler.finish()
        yield answer

    async def _events(self, deployment: Deployment, request: ChatRequest) -> AsyncGenerator[bytes]:
        async with (
            self._opened(deployment, request, stream=True) as response,
            aclosing(events_of(response.aiter_bytes(), MAX_BODY_BYTES)) as events,
        ):
            async for event in events:
                yield event

    @asynccontextmanager
    async def _opened(
        self, deployment: Deployment, chat: ChatRequest, *, stream: bool
    ) -> AsyncIterator[httpx.Response]:
        url = deployment.base_url + self._dialect.path(deployment, stream=stream)
        body = _encode(self._dialect.body(deployment, chat, stream=stream))
        headers = {"content-type": "application/json"}
        headers |= self._dialect.headers(self._keys.get(deployment.name, ""))
        request = httpx.Request("POST", url, content=body, headers=headers, extensions=_TIMEOUTS)
        response = await self._client.handle_async_request(request)
        try:
            if response.status_code != httpx.codes.OK:
                raise _refusal(response)
            yield response
        finally:
            await response.aclose()


@asynccontextmanager
async def _mapped(timeout_ms: float) -> AsyncIterator[None]:
    """Every driver error becomes one of the tree, without its words."""
    try:
        async with asyncio.timeout(max(0.0, timeout_ms) / 1_000):
            yield
    except ProviderError:
        raise
    except (TimeoutError, httpx.TimeoutException):
        raise ProviderTimeout("the provider did not answer in time") from None
    except (httpx.RemoteProtocolError, httpx.DecodingError):
        raise ProviderMalformed("the provider broke off or broke the HTTP protocol") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        raise ProviderUnavailable("the provider could not be reached") from None
    except (msgspec.DecodeError, *_MALFORMED):
        raise ProviderMalformed("the provider's answer does not follow its protocol") from None


async def _bounded_body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ProviderMalformed(f"the provider's answer exceeds {MAX_BODY_BYTES} bytes")
    return bytes(body)


def _refusal(response: httpx.Response) -> ProviderError:
    status = response.status_code
    retry_after_ms = _retry_after_ms(response.headers.get("retry-after", ""))
    if status == httpx.codes.TOO_MANY_REQUESTS or retry_after_ms is not None:
        message = "the provider asks for a pause"
        return ProviderRateLimited(message, retry_after_ms=retry_after_ms)
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return ProviderUnauthorized("the provider does not accept the configured key")
    if status in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.GATEWAY_TIMEOUT):
        return ProviderTimeout("the provider ran out of time")
    if httpx.codes.is_client_error(status):
        return ProviderRefusedRequest("the provider can't serve this request")
    if httpx.codes.is_server_error(status):
        return ProviderUnavailable("the provider has a fault")
    return ProviderMalformed("the provider answered with an unexpected status")


def _retry_after_ms(value: str) -> int | None:
    """Seconds or an HTTP date (RFC 9110, 10.2.3); None for neither."""
    try:
        if value.strip().isdigit():
            seconds = float(value)
        else:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return int(min(max(0.0, seconds) * 1_000, MAX_RETRY_AFTER_MS))
