"""A session that asks nearly the same again soon was not content with the first answer."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import numpy as np

from router.domain.chat import ChatRequest, ImagePart
from router.domain.errors import StorageUnavailable
from router.domain.records import SessionTurn
from router.ports.observer import Observer
from router.ports.ports import DecisionLog, Sessions
from router.runtime.fingerprint import likeness

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class RephraseSettings:
    """similarity: cosine at or above which two prompts of a session ask the same."""

    window_s: int = 300
    similarity: float = 0.92


class RephraseDetector:
    def __init__(
        self,
        *,
        sessions: Sessions,
        decisions: DecisionLog,
        observer: Observer,
        settings: RephraseSettings,
    ) -> None:
        self._sessions = sessions
        self._decisions = decisions
        self._observer = observer
        self._settings = settings

    async def note(self, tenant: str, session_id: str, turn: SessionTurn) -> bool:
        """Remember this turn; True when it repeats the one before it, which is then marked."""
        try:
            earlier = await self._sessions.swap(tenant, session_id, turn, self._settings.window_s)
            return earlier is not None and await self._compare(earlier, turn)
        except StorageUnavailable:
            self._observer.degraded("session")
            return False

    async def _compare(self, earlier: SessionTurn, turn: SessionTurn) -> bool:
        similarity = _cosine(earlier.embedding, turn.embedding)
        if earlier.attached != turn.attached or similarity < self._settings.similarity:
            return False
        alike = likeness(earlier.letters, turn.letters)
        await self._decisions.reasked(earlier.decision_id, similarity, alike)
        self._observer.feedback("reask")
        return True


def attached(chat: ChatRequest) -> str:
    """A digest of the images and numbers in the last message; "" for none.

    Where they differ nearly the same words ask something else.
    """
    message = chat.messages[-1]
    images = [(p.url, p.detail) for p in message.parts if isinstance(p, ImagePart)]
    told = [*images, *_NUMBER.findall(message.text)]
    return hashlib.sha256(repr(told).encode()).hexdigest() if told else ""


def _cosine(one: bytes, other: bytes) -> float:
    """Of two unit vectors; 0 when they are of different models."""
    a, b = (np.frombuffer(data, dtype=np.float32) for data in (one, other))
    return float(a @ b) if a.shape == b.shape else 0.0
