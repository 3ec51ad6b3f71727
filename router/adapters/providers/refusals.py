"""Bodies of another kind than asked for: what a refusal says, and compressed ones. All bounded."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Final

import httpcore
import msgspec

from router.adapters.providers.failures import ACCOUNT_PAUSE_MS, is_firewall, pause_of_headers, told
from router.adapters.providers.way_faults import DRIVER_ERRORS
from router.domain.errors import ProviderError, ProviderMalformed, ProviderNotFound

MAX_REFUSAL_BYTES: Final = 64 * 1024
REFUSAL_S: Final = 1.0
"""Longest wait for the body of a refusal; the status alone tells most."""
_PIECE_BYTES: Final = 256 * 1024
_GZIP_OR_ZLIB: Final = 47
_DEFLATE: Final = -15
_EVENT: Final = re.compile(r"(?:^|\n)data: ?(.+)")


async def read_refusal(
    response: httpcore.Response,
    headers: Mapping[bytes, str],
    refused: Callable[[ProviderError], None],
    now_s: float,
    sent: bytes,
) -> ProviderError:
    """Returns the error that a status and its body stand for.

    headers: by their names in lower case. refused: is told what the status alone stands for, while
    the body is read. now_s: seconds since the epoch. sent: the body that is refused.
    """
    pause_ms = pause_of_headers(headers, now_s)
    refused(told(None, response.status, pause_ms))
    coding = headers.get(b"content-encoding", "identity")
    chunks = response.aiter_stream()
    body = await _bounded(chunks if coding == "identity" else unfolded(chunks, coding))
    return told(_decoded(body), response.status, pause_ms, sent)


def web_page(page: bytes) -> ProviderError:
    """Returns the error of a page where an answer was due: no model has written it."""
    pause_ms = None if is_firewall(page.decode("utf-8", "replace")) else ACCOUNT_PAUSE_MS
    message = "a web page answers at the provider's URL"
    return ProviderNotFound(message, status=200, retry_after_ms=pause_ms)


async def _bounded(chunks: AsyncIterator[bytes]) -> bytes:
    """Returns what comes of a body, read to its end where that is near: so it frees its connection.

    A body that breaks off, is late or too large says what it has said until then.
    """
    body = bytearray()
    with suppress(TimeoutError, ProviderMalformed, *DRIVER_ERRORS):
        async with asyncio.timeout(REFUSAL_S):
            async for chunk in chunks:
                body += chunk
                if len(body) > MAX_REFUSAL_BYTES:
                    break
    return bytes(body[:MAX_REFUSAL_BYTES])


def _decoded(body: bytes) -> object:
    """Returns the JSON of a body, or of its first event, else its text."""
    text = body.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    event = _EVENT.search(text) if text.startswith(("data:", "event:", ":")) else None
    try:
        found: object = msgspec.json.decode(event[1] if event else text)
    except (msgspec.DecodeError, RecursionError):
        return text
    return found


async def unfolded(chunks: AsyncIterator[bytes], coding: str) -> AsyncIterator[bytes]:
    """Yields a body that is compressed although none was asked for, in pieces that are bounded.

    Raises ProviderMalformed for a coding that is not known, and for bytes that are not of it.
    """
    if coding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        raise ProviderMalformed("the provider's answer is compressed, against the request")
    unpacking = None
    async for chunk in chunks:
        waiting = chunk
        while waiting:
            unpacking = unpacking or zlib.decompressobj(_window(waiting))
            try:
                piece = unpacking.decompress(waiting, _PIECE_BYTES)
            except zlib.error:
                raise ProviderMalformed("the provider's answer can't be unpacked") from None
            waiting = unpacking.unconsumed_tail or unpacking.unused_data
            unpacking = None if unpacking.eof else unpacking
            if piece:
                yield piece


def _window(data: bytes) -> int:
    """Returns the format of compressed data: some servers send deflate without zlib's header."""
    return _GZIP_OR_ZLIB if data[0] in (0x1F, 0x78) else _DEFLATE
