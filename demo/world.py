"""Protocol of both worlds: prompts, replies of every arm, and the quality of each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from demo.client import Ask

ARMS = ("cheap", "reasoning", "fallback")
TOKENS_PER_MTOK = 1_000_000


@dataclass(frozen=True, slots=True)
class Profile:
    """One simulated provider: its list price, speed and how often a call fails with 503.

    A rate that is None is that of input. cache_ttl_s: how long it keeps what it has read.
    """

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    first_token_ms: float
    token_ms: float
    failure_rate: float
    cached_input_usd_per_mtok: float | None = None
    cache_write_usd_per_mtok: float | None = None
    cache_ttl_s: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """quality in [0, 1] is what the caller's feedback will say of this text.

    cached_tokens, written_tokens: parts of input_tokens. lookups: tool calls that the model makes
    before it says this; looks_up: this is one of them.
    """

    text: str
    quality: float
    input_tokens: int
    output_tokens: int
    finish_reason: str = "stop"
    cached_tokens: int = 0
    written_tokens: int = 0
    lookups: int = 0
    looks_up: bool = False


class Charged(Protocol):
    @property
    def input_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def written_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> float: ...


class World(Protocol):
    @property
    def asks(self) -> Sequence[Ask]: ...

    @property
    def profiles(self) -> Mapping[str, Profile]: ...

    def reply(self, arm: str, index: int) -> Reply:
        """Returns the answer of an arm to a prompt, the same every time."""
        ...

    def reference(self, index: int) -> str:
        """A right answer, to compare others with."""
        ...

    def grade(self, index: int, text: str) -> float:
        """Quality of an answer, in [0, 1]: what a caller would say of it."""
        ...


def cost_usd(profile: Profile, call: Charged) -> float:
    read, cached, write = (
        profile.input_usd_per_mtok if rate is None else rate
        for rate in (None, profile.cached_input_usd_per_mtok, profile.cache_write_usd_per_mtok)
    )
    return (
        (call.input_tokens - call.cached_tokens - call.written_tokens) * read
        + call.cached_tokens * cached
        + call.written_tokens * write
        + call.output_tokens * profile.output_usd_per_mtok
    ) / TOKENS_PER_MTOK


def outcomes(world: World) -> dict[int, dict[str, tuple[float, float]]]:
    """Prompt -> arm -> (quality, cost_usd), for every arm: what no router gets to see."""
    found: dict[int, dict[str, tuple[float, float]]] = {}
    for ask in world.asks:
        replies = {arm: world.reply(arm, ask.index) for arm in ARMS}
        found[ask.index] = {
            arm: (reply.quality, cost_usd(world.profiles[arm], reply))
            for arm, reply in replies.items()
        }
    return found


def chance(*parts: object) -> float:
    """A number in [0, 1) fixed by its arguments, the same in every process."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
