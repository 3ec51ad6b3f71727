"""Which answers may stand in for one another."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import msgspec

from router.domain.chat import ChatRequest, Message, Role
from router.domain.records import CacheKey

# Prompts that differ in these mean different things however near their embeddings are.
# In order, since "from A to B" is not "from B to A": numbers, quotations, negations, names.
_LITERALS = re.compile(
    r"\d+(?:[.,:/]\d+)*|\"[^\"]*\"|`[^`]*`|\b(?:not|no|never|without|except|non)\b|n't\b"
    r"|(?<=[a-z,;:(] )[A-Z][\w-]*",
)
_encode = msgspec.msgpack.Encoder(order="deterministic").encode


def cache_key(tenant: str, chat: ChatRequest) -> CacheKey:
    """Keys of a request; hashes only, so no prompt text stands in a key."""
    literals = _LITERALS.findall(chat.prompt)
    rest = replace(chat, messages=_without_prompt(chat.messages))
    return CacheKey(
        tenant=tenant,
        exact=_digest(tenant, chat),
        partition=_digest(tenant, rest, literals),
    )


def fingerprint(chat: ChatRequest, *more: object) -> str:
    """What two requests with one idempotency key must share."""
    return _digest(chat, *more)


def _without_prompt(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    index = max((i for i, m in enumerate(messages) if m.role is Role.USER), default=-1)
    blank = (
        replace(m, parts=tuple(p for p in m.parts if not hasattr(p, "text"))) if i == index else m
        for i, m in enumerate(messages)
    )
    return tuple(blank)


def _digest(*values: object) -> str:
    return hashlib.blake2b(_encode(values), digest_size=20).hexdigest()
