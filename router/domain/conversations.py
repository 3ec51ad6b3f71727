"""A conversation as it is recognised: by hashes of its messages, and what was served of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """Input tokens that a deployment reported for a prefix, and when, ms since the epoch."""

    tokens: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is known of the turns before a request; the default is a conversation that begins.

    seen: by deployment, what it last read of it. turns: answered so far. first, last: deployments
    that answered the first and the last of them. spent_usd, stay_usd: as in `TurnFacts`.
    """

    seen: tuple[tuple[str, Seen], ...] = ()
    turns: int = 0
    first: str = ""
    last: str = ""
    spent_usd: float = 0.0
    stay_usd: float = 0.0
