"""A session that asks nearly the same again soon was not content with the first answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router.core.errors import StorageUnavailable
from router.core.observer import Observer
from router.core.ports import DecisionLog, Embedding, Sessions
from router.core.records import SessionTurn


@dataclass(frozen=True, slots=True)
class ReaskSettings:
    """similarity: cosine at or above which two prompts of a session ask the same."""

    window_s: int = 300
    similarity: float = 0.92


class ReaskWatch:
    def __init__(
        self,
        *,
        sessions: Sessions,
        decisions: DecisionLog,
        observer: Observer,
        settings: ReaskSettings,
    ) -> None:
        self._sessions = sessions
        self._decisions = decisions
        self._observer = observer
        self._settings = settings

    async def note(
        self, *, tenant: str, session_id: str, decision_id: str, at_ms: int, embedding: Embedding
    ) -> bool:
        """Remember this turn; True when it repeats the one before it, which is then marked."""
        turn = SessionTurn(decision_id, at_ms, embedding.astype(np.float32).tobytes())
        try:
            earlier = await self._sessions.swap(tenant, session_id, turn, self._settings.window_s)
            return earlier is not None and await self._compare(earlier, embedding)
        except StorageUnavailable:
            self._observer.degraded("session")
            return False

    async def _compare(self, earlier: SessionTurn, embedding: Embedding) -> bool:
        before = np.frombuffer(earlier.embedding, dtype=np.float32)
        similarity = float(before @ embedding) if before.shape == embedding.shape else 0.0
        if similarity < self._settings.similarity:
            return False
        await self._decisions.reasked(earlier.decision_id, similarity)
        self._observer.feedback("reask")
        return True
