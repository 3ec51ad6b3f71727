"""Bodies of requests: read within their bounds, and decoded as strict JSON."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from router.domain.errors import FieldViolation, InvalidRequest
from router.http.status import BodyTooLarge, UnsentBody, WrongContentType

T = TypeVar("T")
Receive = Callable[[], Awaitable[Any]]
MOST_DEPTH: Final = 64
MOST_VALUES: Final = 50_000
# An open text takes all that is left: tried again from each quote in it, that takes for ever.
_MARKS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+["\\]?|[{}\[\],]', re.DOTALL)
CHARSETS: Final = frozenset((b"utf-8", b"utf8", b"us-ascii"))
_CHARSET: Final = re.compile(rb"charset\s*=\s*\"?([^\s;\"]*)")
_STEPS: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}


def check_content_type(headers: Mapping[bytes, bytes]) -> None:
    """Raises WrongContentType."""
    kind, _, parameters = headers.get(b"content-type", b"").lower().partition(b";")
    kind = kind.strip()
    if not CHARSETS.issuperset(_CHARSET.findall(parameters)):
        raise WrongContentType(FieldViolation("content-type", "send JSON in UTF-8"))
    if kind != b"application/json" and not kind.endswith(b"+json"):
        raise WrongContentType(FieldViolation("content-type", "send application/json"))
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise WrongContentType(FieldViolation("content-encoding", "send the body as it is"))


def check_length(headers: Mapping[bytes, bytes], most: int) -> None:
    """Refuse a body that says it is too large before any of it is read. Raises BodyTooLarge."""
    told = headers.get(b"content-length", b"0")
    if told.isdigit() and int(told) > most:
        raise _too_large(most)


async def read_body(receive: Receive, most: int, within_s: float) -> bytes:
    """Raises BodyTooLarge, UnsentBody, CancelledError where the caller has left."""
    try:
        async with asyncio.timeout(within_s):
            message = await receive()
            if message["type"] == "http.request" and not message["more_body"]:
                body: bytes = message["body"]
                if len(body) > most:
                    raise _too_large(most)
                return body
            return await _rest(message, receive, most)
    except TimeoutError:
        raise UnsentBody("the request was not sent in time: send it at once") from None


async def _rest(message: Any, receive: Receive, most: int) -> bytes:
    body = bytearray()
    while message["type"] == "http.request":
        body += message["body"]
        if len(body) > most:
            raise _too_large(most)
        if not message["more_body"]:
            return bytes(body)
        message = await receive()
    raise asyncio.CancelledError


def decoded(body: bytes, decode: Callable[[bytes], T]) -> T:
    """Returns the typed value. Raises InvalidRequest, which names the first place of a mistake."""
    return decoded_twice(body, decode)[0]


def decoded_twice(body: bytes, decode: Callable[[bytes], T]) -> tuple[T, Any]:
    """Returns the typed value, and beside it all that was sent. Raises as `decoded`."""
    check_shape(body)
    try:
        read = decode(body)
        plain = json.loads(body, object_pairs_hook=_unique)
    except msgspec.ValidationError as error:
        raise InvalidRequest(_violation(str(error))) from None
    except _TwiceError as error:
        raise InvalidRequest(FieldViolation(error.name, "name every key once")) from None
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise InvalidRequest(FieldViolation("request", "send one JSON object in UTF-8")) from None
    return read, plain


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(FieldViolation("request", f"send at most {most} bytes"))


class _TwiceError(Exception):
    def __init__(self, name: str) -> None:
        self.name = name[:64]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return found


def check_shape(body: bytes) -> None:
    """Refuse what takes much time and memory to decode, before it is. Raises InvalidRequest.

    >>> check_shape(b'{"a": ["[[[["]}')
    """
    if body.count(b"{") + body.count(b"[") <= MOST_DEPTH and body.count(b",") <= MOST_VALUES:
        return
    depth = values = 0
    for found in _MARKS.finditer(body):
        mark = found.group()
        depth += _STEPS.get(mark, 0)
        values += mark == b","
        if depth > MOST_DEPTH:
            fix = f"nest values {MOST_DEPTH} deep at most"
            raise InvalidRequest(FieldViolation("request", fix))
        if values > MOST_VALUES:
            fix = f"send at most {MOST_VALUES} values in all"
            raise InvalidRequest(FieldViolation("request", fix))


def _violation(text: str) -> FieldViolation:
    """Returns what msgspec says of a value: the types, and its place, never the value.

    >>> _violation("Expected `str`, got `int` - at `$.messages[0].role`")
    FieldViolation(field='messages[0].role', description='Expected `str`, got `int`')
    """
    what, _, place = text.partition(" - at `$")
    return FieldViolation(place.rstrip("`").lstrip(".") or "request", what)
