"""A session that asks nearly the same again soon was not content with the first answer."""

from __future__ import annotations

import hashlib
import re
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from router.domain.bounds import Count, Similarity
from router.domain.chat import ChatRequest, ImagePart
from router.domain.errors import DecisionNotFound, DecisionPending, StorageUnavailable
from router.domain.records import SessionTurn
from router.ports.learning_log import DecisionLog
from router.ports.observer import Observer
from router.ports.state import Sessions
from router.runtime.background import Background
from router.serving.earlier_answers import ResponseCache

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class RephraseSettings:
    """When a prompt of a session counts as the one before it, asked again."""

    window_s: Count = 300
    """Time after a turn within which it can be asked again."""
    similarity: Similarity = 0.92
    """Cosine similarity from which two prompts ask the same."""


class RephraseDetector:
    def __init__(
        self,
        *,
        sessions: Sessions,
        decisions: DecisionLog,
        cache: ResponseCache,
        background: Background,
        observer: Observer,
        settings: RephraseSettings,
    ) -> None:
        self._sessions = sessions
        self._decisions = decisions
        self._cache = cache
        self._background = background
        self._observer = observer
        self._settings = settings

    async def check(self, tenant: str, session_id: str, turn: SessionTurn) -> bool:
        """Remember this turn; True when it repeats the one before it, which is then marked."""
        try:
            earlier = await self._sessions.swap(tenant, session_id, turn, self._settings.window_s)
            return earlier is not None and await self._compare(tenant, earlier, turn)
        except StorageUnavailable:
            self._observer.degraded("session")
            return False

    async def _compare(self, tenant: str, earlier: SessionTurn, turn: SessionTurn) -> bool:
        similarity = _cosine(earlier.embedding, turn.embedding)
        if earlier.attached != turn.attached or similarity < self._settings.similarity:
            return False
        alike = letter_similarity(earlier.letters, turn.letters)
        await self._decisions.reasked(earlier.decision_id, similarity, alike)
        self._observer.feedback("reask")
        self._background.start(self._evict(tenant, earlier.decision_id))
        return True

    async def _evict(self, tenant: str, decision_id: str) -> None:
        """Take the answer that was not good enough out of the cache: at worst it is asked anew."""
        with suppress(DecisionNotFound, DecisionPending):  # it is still under way
            record = await self._decisions.get(tenant, decision_id)
            await self._cache.evict(record.cache_exact, record.cache_partition)


def attachment_digest(chat: ChatRequest) -> str:
    """A digest of the images and numbers in the last message; "" for none.

    Where they differ nearly the same words ask something else.
    """
    message = chat.messages[-1]
    images = [(p.url, p.detail) for p in message.parts if isinstance(p, ImagePart)]
    told = [*images, *_NUMBER.findall(message.text)]
    return hashlib.sha256(repr(told).encode()).hexdigest() if told else ""


def _cosine(one: bytes, other: bytes) -> float:
    """Returns the cosine of two unit vectors; 0 when they are of different models."""
    a, b = (np.frombuffer(data, dtype=np.float32) for data in (one, other))
    return float(a @ b) if a.shape == b.shape else 0.0


MOST_CHARS: Final = 4_000
"""Characters read from the end of a text: the question mostly stands there."""
RUN: Final = 4
BINS: Final = 64
_EMPTY: Final = np.iinfo(np.uint32).max


def letter_fingerprint(text: str) -> bytes:
    """(64,) uint32 as bytes. Case and white space make no difference."""
    plain = " ".join(text[-MOST_CHARS:].lower().split())
    runs = {plain[i : i + RUN] for i in range(max(1, len(plain) - RUN + 1))}
    hashes = np.array([zlib.crc32(run.encode()) for run in runs], dtype=np.uint32)
    least = np.full(BINS, _EMPTY, dtype=np.uint32)
    np.minimum.at(least, hashes % BINS, hashes // BINS)
    return least.tobytes()


def letter_similarity(one: bytes, other: bytes) -> float:
    """Returns a share in [0, 1]; 1 for the same words, 0 where either is no fingerprint.

    >>> texts = ("Plan a trip to Rome.", "Plan  a trip to rome.", "Why is that")
    >>> a, b, c = map(letter_fingerprint, texts)
    >>> letter_similarity(a, b), letter_similarity(a, c) < 0.2
    (1.0, True)
    """
    if not len(one) == len(other) == BINS * 4:
        return 0.0
    a, b = (np.frombuffer(data, dtype=np.uint32) for data in (one, other))
    filled = np.minimum(a, b) < _EMPTY
    return float((a == b)[filled].mean()) if filled.any() else 0.0
