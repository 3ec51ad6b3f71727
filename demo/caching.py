"""Models that keep what they have read for a while, look things up, and charge for each kind."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from demo.bodies import Asked
from demo.world import Profile, Reply

BYTES_PER_TOKEN = 4
STEP_TOKENS, LEAST_TOKENS = 128, 1_024
MOST_KEPT = 50_000
CALL_TOKENS = 30


@dataclass(slots=True)
class PromptCache:
    """Beginnings of requests in steps of 128 tokens, from 1,024 on, as OpenAI documents it.

    kept: digest -> when it was last read; it lives for the profile's `cache_ttl_s` after that.
    """

    profile: Profile
    kept: dict[bytes, float] = field(default_factory=dict)

    def reply(self, reply: Reply, asked: Asked, body: dict[str, Any]) -> Reply:
        """Returns the reply charged for the whole request, or what is to be looked up first."""
        text = json.dumps([*(body.get("tools") or ()), *body["messages"]]).encode()
        cached, kept = self.read(text, time.monotonic())
        writes = self.profile.cache_write_usd_per_mtok is not None
        charged = replace(
            reply,
            input_tokens=len(text) // BYTES_PER_TOKEN,
            cached_tokens=cached,
            written_tokens=kept - cached if writes else 0,
        )
        if asked.results >= reply.lookups:
            return charged
        return replace(charged, text="", output_tokens=CALL_TOKENS, looks_up=True)

    def read(self, text: bytes, now_s: float) -> tuple[int, int]:
        """Returns the tokens that were kept, and that are from now on."""
        found, total, alive, ttl_s = 0, 0, True, self.profile.cache_ttl_s
        for tokens, digest in _beginnings(text):
            alive = alive and now_s - self.kept.get(digest, -ttl_s) < ttl_s
            found, total = tokens if alive else found, tokens
            self.kept[digest] = now_s
        if len(self.kept) > MOST_KEPT:
            self.kept = {d: at for d, at in self.kept.items() if now_s - at < ttl_s}
        return found, total


def _beginnings(text: bytes) -> Iterator[tuple[int, bytes]]:
    digest, size = hashlib.blake2b(digest_size=16), STEP_TOKENS * BYTES_PER_TOKEN
    for end in range(size, len(text) + 1, size):
        digest.update(text[end - size : end])
        if end >= LEAST_TOKENS * BYTES_PER_TOKEN:
            yield end // BYTES_PER_TOKEN, digest.digest()
