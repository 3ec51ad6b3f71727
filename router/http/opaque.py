"""Opaque parts as text that callers hand back unread."""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from router.domain.chat import OpaquePart

MARK: Final = "ar1."
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, str, bytes]).decode


def packed(part: OpaquePart) -> str:
    """Returns the part as one text.

    >>> unpacked(packed(OpaquePart("gemini", "m", b"1")))
    OpaquePart(provider='gemini', model='m', data=b'1')
    """
    told = _encode((part.provider, part.model, part.data))
    return MARK + base64.urlsafe_b64encode(told).decode()


def unpacked(text: str) -> OpaquePart | None:
    """Returns None for what `packed` did not make: another service's, which is left out."""
    if not text.startswith(MARK):
        return None
    try:
        return OpaquePart(*_decode(base64.urlsafe_b64decode(text[len(MARK) :])))
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
