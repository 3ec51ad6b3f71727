"""A verifier behind a URL.

POST {prompt, messages, answer, arm}, where they are known also tool_calls, reference and id;
{"quality": q} back, q in [0, 1], or null to abstain.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx
import msgspec

from router.domain import MS_PER_S
from router.domain.errors import VerifierFailed, VerifierMalformed
from router.ports.observer import NO_TRACER, Tracer
from router.ports.upstream import VerifierCase

MAX_SENT_BYTES: Final = 16 * 1024 * 1024
MAX_BODY_BYTES: Final = 64 * 1024
MAX_CONNECTIONS: Final = 64
_HEADERS: Final = {
    "content-type": "application/json",
    "accept-encoding": "identity",  # what is read is what was sent: no body unfolds in memory
}


class _Verdict(msgspec.Struct):
    quality: float | None


def make_client(proxy: str | None = None) -> httpx.AsyncClient:
    """Pooled, for use as a context manager; each call has a time limit of its own.

    proxy: URL of the proxy to go through, None for the direct way.
    """
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS)
    return httpx.AsyncClient(
        timeout=None,  # noqa: S113 - timed by the call
        trust_env=False,
        follow_redirects=False,
        limits=limits,
        proxy=proxy,
    )


class HttpVerifier:
    """Implements `router.ports.upstream.Verifier`. client: from `make_client`."""

    def __init__(self, client: httpx.AsyncClient, url: str, tracer: Tracer = NO_TRACER) -> None:
        self._tracer = tracer
        self._client = client
        self._url = url

    async def verify(self, case: VerifierCase, timeout_ms: float) -> float | None:
        body = msgspec.json.encode(_told(case))
        if len(body) > MAX_SENT_BYTES:
            return None
        try:
            async with asyncio.timeout(timeout_ms / MS_PER_S):
                said = await self._post(body)
        except (TimeoutError, httpx.HTTPError, OSError):
            raise VerifierFailed("the verifier did not answer: see that it runs") from None
        return _quality(said)

    async def _post(self, body: bytes) -> bytes:
        carried = [(name.decode(), text.decode()) for name, text in self._tracer.headers()]
        headers = {**_HEADERS, **dict(carried)}
        async with self._client.stream(
            "POST", self._url, content=body, headers=headers
        ) as response:
            response.raise_for_status()  # a redirect is no answer either
            said = bytearray()
            async for chunk in response.aiter_bytes():
                said += chunk
                if len(said) > MAX_BODY_BYTES:
                    raise _odd()
        return bytes(said)


def _quality(said: bytes) -> float | None:
    try:
        quality = msgspec.json.decode(said, type=_Verdict).quality
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _odd() from None
    if quality is not None and not 0 <= quality <= 1:  # put so that NaN is refused as well
        raise _odd()
    return quality


def _told(case: VerifierCase) -> dict[str, Any]:
    told: dict[str, Any] = {
        "prompt": case.chat.prompt,
        "messages": [{"role": str(m.role), "content": m.text} for m in case.chat.messages],
        "answer": case.answer,
        "arm": case.arm,
    }
    if case.tool_calls:
        told["tool_calls"] = [
            {"name": call.name, "arguments": call.arguments} for call in case.tool_calls
        ]
    if case.reference is not None:
        told["reference"] = case.reference
    if case.id:
        told["id"] = case.id
    return told


def _odd() -> VerifierMalformed:
    return VerifierMalformed('the verifier must answer {"quality": a number from 0 to 1}')
