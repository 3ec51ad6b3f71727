"""Idempotency keys of one process, in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from router.degraded.continuity import Continuity
from router.degraded.entries import SpooledAnswer
from router.degraded.tenants import RememberingTenants
from router.domain.errors import StorageUnavailable
from router.domain.tenants import LEASE_S
from router.ports import Clock
from router.ports.state import Claim, ClaimKey, ClaimState, Idempotency

MOST: Final = 20_000
MOST_ANSWER_BYTES: Final = 1 << 20
"""A longer answer is not kept on disk for a repeat of its key."""
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
        self._claims: OrderedDict[tuple[str, str], LocalClaim] = OrderedDict()
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
        while len(self._claims) >= MOST:
            self._forget_oldest()
        self._claims[key.tenant, key.key] = claim

    async def renew(self, keys: Sequence[ClaimKey], ttl_s: int = LEASE_S) -> None:
        for key in keys:
            found = self.find(key)
            if found is not None and found.owner == key.owner and found.answer is None:
                found.until_s = self._clock() + ttl_s

    async def finish(
        self, key: ClaimKey, payload: bytes, ttl_s: int, fingerprint: str = ""
    ) -> None:
        found = self.find(key)
        if found is None and fingerprint:
            self.keep(key, fingerprint, ttl_s)
            found = self.find(key)
        if found is None or found.owner != key.owner:
            return
        self._size += len(payload) - len(found.answer or b"")
        found.answer, found.until_s = payload, self._clock() + ttl_s
        while self._size > MOST_BYTES:
            self._forget_oldest()

    async def release(self, key: ClaimKey) -> None:
        found = self.find(key)
        if found is not None and found.owner == key.owner and found.answer is None:
            self._forget(key)

    def _forget(self, key: ClaimKey) -> None:
        gone = self._claims.pop((key.tenant, key.key), None)
        self._size -= len(gone.answer or b"") if gone else 0

    def _forget_oldest(self) -> None:
        _, gone = self._claims.popitem(last=False)
        self._size -= len(gone.answer or b"")


class DegradingIdempotency:
    """Honours keys within this process while the store is away; answers reach it afterwards."""

    def __init__(
        self,
        inner: Idempotency,
        local: LocalIdempotency,
        continuity: Continuity,
        tenants: RememberingTenants,
    ) -> None:
        self._inner = inner
        self._local = local
        self._continuity = continuity
        self._tenants = tenants

    async def claim(self, key: ClaimKey, fingerprint: str, ttl_s: int) -> Claim:
        found = self._local.find(key)
        if found is None or not found.here:
            try:
                claim = await self._continuity.ask(
                    lambda: self._inner.claim(key, fingerprint, ttl_s)
                )
            except StorageUnavailable:
                tenant = self._tenants.of_scope(key.tenant)
                if tenant is None or not self._continuity.may_degrade(tenant):
                    raise
            else:
                if claim.state is ClaimState.NEW:
                    self._local.keep(key, fingerprint, ttl_s)
                return claim
        if found is None:
            self._local.keep(key, fingerprint, ttl_s, here=True)
        return await self._local.claim(key, fingerprint, ttl_s)

    async def renew(self, keys: Sequence[ClaimKey], ttl_s: int = LEASE_S) -> None:
        await self._local.renew(keys, ttl_s)
        await self._continuity.ask(lambda: self._inner.renew(keys, ttl_s))

    async def finish(
        self, key: ClaimKey, payload: bytes, ttl_s: int, fingerprint: str = ""
    ) -> None:
        await self._local.finish(key, payload, ttl_s, fingerprint)
        known = self._local.find(key)
        if known is None or not known.here:
            try:
                return await self._continuity.ask(
                    lambda: self._inner.finish(key, payload, ttl_s, fingerprint)
                )
            except StorageUnavailable as error:
                if known is None or len(payload) > MOST_ANSWER_BYTES or error.is_refused:
                    raise
        if known.owner == key.owner:
            await self._continuity.write(
                SpooledAnswer(
                    at_ms=self._continuity.now_ms,
                    tenant=key.tenant,
                    key=key,
                    fingerprint=known.fingerprint,
                    payload=payload,
                    ttl_s=ttl_s,
                )
            )
            known.here = True
        return None

    async def release(self, key: ClaimKey) -> None:
        """Where the store cannot be told, its claim lapses. Raises StorageUnavailable."""
        known = self._local.find(key)
        await self._local.release(key)
        if known is None or not known.here:
            await self._continuity.noting(self._inner.release(key))
