"""Idempotency keys of one process, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.degraded.continuity import Bounded
from router.ports import Clock
from router.ports.state import Claim, ClaimKey, ClaimState

MOST: Final = 20_000
MOST_BYTES: Final = 16 << 20
"""Bytes of answers that are kept; the oldest leave first."""


@dataclass(slots=True)
class LocalClaim:
    """A claim. answer: None while its owner runs. here: the store has not heard of it."""

    owner: str
    fingerprint: str
    until_s: float
    answer: bytes | None = None
    here: bool = False


class LocalIdempotency:
    """Implements `router.ports.state.Idempotency`. clock: any that only goes forward."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._claims: Bounded[tuple[str, str], LocalClaim] = Bounded(MOST)
        self._size = 0

    def find(self, key: ClaimKey) -> LocalClaim | None:
        found = self._claims.get((key.tenant, key.key))
        return found if found is not None and self._clock() < found.until_s else None

    async def claim(self, key: ClaimKey, fingerprint: str, ttl_s: int) -> Claim:
        found = self.find(key)
        if found is None:
            self.keep(key, fingerprint, ttl_s)
            return Claim(ClaimState.NEW)
        if found.fingerprint != fingerprint:
            return Claim(ClaimState.CONFLICT)
        if found.answer is not None:
            return Claim(ClaimState.DONE, found.answer)
        return Claim(ClaimState.NEW if found.owner == key.owner else ClaimState.RUNNING)

    def keep(self, key: ClaimKey, fingerprint: str, ttl_s: int, *, here: bool = False) -> None:
        """Note a claim that its owner has, whatever was known of the key before."""
        self._forget(key)
        claim = LocalClaim(key.owner, fingerprint, self._clock() + ttl_s, here=here)
        self._claims.put((key.tenant, key.key), claim)

    async def finish(self, key: ClaimKey, payload: bytes, ttl_s: int) -> None:
        found = self.find(key)
        if found is None or found.owner != key.owner:
            return
        self._size += len(payload) - len(found.answer or b"")
        found.answer, found.until_s = payload, self._clock() + ttl_s
        while self._size > MOST_BYTES:
            self._size -= len(self._claims.popitem(last=False)[1].answer or b"")

    async def release(self, key: ClaimKey) -> None:
        found = self.find(key)
        if found is not None and found.owner == key.owner and found.answer is None:
            self._forget(key)

    def _forget(self, key: ClaimKey) -> None:
        gone = self._claims.pop((key.tenant, key.key), None)
        self._size -= len(gone.answer or b"") if gone else 0
