"""Tenants and their keys, for operators: the same beneath the commands and `AdminService`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Final

from router.adapters.storage import Storage
from router.config import Config
from router.domain import MS_PER_S
from router.domain.errors import FieldViolation, InvalidRequest, TenantNotFound
from router.domain.tenancy import (
    KEY_ID,
    KEY_ID_FIX,
    NEVER,
    ApiKey,
    Expiry,
    KeyFacts,
    LimitsChange,
    NewKey,
    Remainder,
    TenantDeleted,
    check_name,
)
from router.domain.tenants import Orphan, Tenant, TenantLimits, TenantUsage, hash_key
from router.serving.admission import AdmissionSettings, IdempotencySettings

KEY_BYTES: Final = 32
LAST: Final = 4
MOST_RELEASED: Final = 1_000
MOST_EXPIRY_MS: Final = 253_402_300_799_999
"""The end of the year 9999."""
DAY_S: Final = 86_400


def _new_key() -> str:
    return f"ar_{secrets.token_urlsafe(KEY_BYTES)}"


class TenantAdministration:
    """Implements `router.domain.tenancy.TenantOperations`.

    arms: those that there are; None for the config's. new_key: makes the text of a key.
    """

    def __init__(
        self,
        config: Config,
        storage: Storage,
        arms: Callable[[], Collection[str]] | None = None,
        new_key: Callable[[], str] = _new_key,
    ) -> None:
        self._config = config
        self._storage = storage
        self._directory = storage.tenants
        self._arms = arms or (lambda: config.arms)
        self._new_key = new_key

    async def create(
        self, name: str, change: LimitsChange, expiry: Expiry = NEVER
    ) -> tuple[Tenant, NewKey]:
        check_name(name)
        tenant = Tenant(name, change.applied(TenantLimits(), self._arms()))
        made = await self._made(expiry)
        await self._forget_earlier(name)
        await self._directory.create(tenant, made.key.hash, made.key.facts)
        return tenant, made

    async def _forget_earlier(self, name: str) -> None:
        """Calls of an earlier tenant of this name may have ended after it was deleted."""
        try:
            await self._directory.show(name)
        except TenantNotFound:
            await self._clear(name)

    async def _clear(self, name: str) -> tuple[int, int]:
        """Forget answers and usage. Returns how many answers, and reservations under way."""
        return await self._storage.cache.purge(name), await self._storage.quota.forget(name)

    async def update(self, name: str, change: LimitsChange) -> Tenant:
        found = await self._directory.show(name)
        limits = change.applied(found.limits, self._arms())
        await self._directory.limit(name, limits)
        return Tenant(name, limits)

    async def show(self, name: str) -> Tenant:
        return await self._directory.show(name)

    async def tenants(self) -> Sequence[Tenant]:
        return await self._directory.list()

    async def usage(self, name: str) -> tuple[Tenant, TenantUsage]:
        found = await self._directory.show(name)
        return found, await self._storage.quota.usage(found)

    async def delete(self, name: str) -> TenantDeleted:
        """Keys go first and the name last, so that a deletion that broke off can be repeated."""
        keys = await self._directory.revoke(name)
        answers, under_way = await self._clear(name)
        await self._directory.delete(name)
        return TenantDeleted(keys, answers, under_way, tuple(self._remains(name, under_way)))

    async def add_key(self, name: str, expiry: Expiry = NEVER) -> NewKey:
        made = await self._made(expiry)
        await self._directory.add_key(name, made.key.hash, made.key.facts)
        return made

    async def rotate(self, name: str, expiry: Expiry = NEVER) -> NewKey:
        made = await self._made(expiry)
        await self._directory.rotate(name, made.key.hash, made.key.facts)
        return made

    async def keys(self, name: str) -> Sequence[ApiKey]:
        return await self._directory.keys(name)

    async def revoke_key(self, name: str, key_id: str) -> ApiKey:
        if not KEY_ID.fullmatch(key_id):
            raise InvalidRequest(FieldViolation("key_id", KEY_ID_FIX))
        return await self._directory.revoke_key(name, key_id)

    async def revoke(self, name: str) -> int:
        return await self._directory.revoke(name)

    async def release(self, name: str) -> Sequence[Orphan]:
        await self._directory.show(name)
        settled: list[Orphan] = []
        while found := await self._storage.quota.settle_orphans(MOST_RELEASED, tenant=name):
            settled += found
        return settled

    async def _made(self, expiry: Expiry) -> NewKey:
        now_ms = await self._directory.now_ms()
        text, expires_ms = self._new_key(), _expires_ms(expiry, now_ms)
        facts = KeyFacts(text[-LAST:], now_ms, expires_ms)
        return NewKey(text, ApiKey(hash_key(text), facts))

    def _remains(self, name: str, under_way: int) -> list[Remainder]:
        config = self._config
        kept_d = max(config.redis.keep_decisions_s, config.learning.join_window_s) / DAY_S
        trusted_s = AdmissionSettings().remember_s
        short_d = max(IdempotencySettings().keep_s, config.sessions.remember_s) / DAY_S
        told = {
            "its keys, for a moment": f"routers trust a key for {trusted_s:g} s after a look",
            "calls under way": f"they are paid for: {under_way} reservations still run",
            "decisions and feedback": f"kept {kept_d:g} days to learn from; they hold no prompt",
            "what was learned": "it is a part of policies that serve every tenant",
            "answers under idempotency keys, conversations": (
                f"stored under digests that name no tenant; they go within {short_d:g} days"
            ),
            "exported logs": "archives are files of yours",
        }
        if name in config.learning.own_policies:
            told["its own policy"] = "the config names it: see learning.own_policies"
        return [Remainder(what, why) for what, why in told.items()]


def _expires_ms(expiry: Expiry, now_ms: int) -> int:
    """Raises InvalidRequest."""
    if expiry.in_s is None and expiry.at_ms is None:
        return 0
    at_ms = expiry.at_ms if expiry.in_s is None else now_ms + round(expiry.in_s * MS_PER_S)
    if at_ms is None or not now_ms < at_ms <= MOST_EXPIRY_MS:
        raise InvalidRequest(FieldViolation("expires", "name a time in the future, by year 9999"))
    return at_ms
