"""A ledger that time has passed for: everything in it happened so much earlier."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from router.adapters.storage import Storage
from router.adapters.storage.keys import Keys


async def later(storage: Storage, seconds: float, *, days: int = 0, months: int = 0) -> None:
    """Let so much time pass for what is reserved and used: the server's clock can't be set."""
    keys, client = prefix_of(storage), storage.client
    for key in await client.call("KEYS", f"{keys.prefix}usage:*"):
        for field in ("requests_at", "tokens_at"):
            await _add(storage, key, field, -int(seconds * 1_000))
        await _turn_back(storage, key, ("day", "reserved_day", "let_in_day"), days)
        await _turn_back(storage, key, ("month", "reserved_month", "let_in_month"), months)
    for key in await client.call("KEYS", f"{keys.prefix}reservation:*"):
        await _add(storage, key, "at", -int(seconds * 1_000))
        await _turn_back(storage, key, ("day",), days)
        await _turn_back(storage, key, ("month",), months)
    leases = keys.reserved_until
    for member in await client.call("ZRANGE", leases, 0, -1):
        await client.call("ZINCRBY", leases, -int(seconds * 1_000), member)


async def _turn_back(storage: Storage, key: str, fields: tuple[str, ...], count: int) -> None:
    for field in fields:
        await _add(storage, key, field, -count)


async def _add(storage: Storage, key: str, field: str, amount: int) -> None:
    if amount and await storage.client.call("HEXISTS", key, field):
        now = float(await storage.client.call("HGET", key, field))
        await storage.client.call("HSET", key, field, str(int(now) + amount))


def prefix_of(storage: Storage) -> Keys:
    return storage.quota._keys  # noqa: SLF001 - the suite's own prefix, which no port tells


def day_left_ms() -> float:
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - now).total_seconds() * 1_000


def month_left_ms() -> float:
    now = datetime.now(UTC)
    first = (now.replace(day=1) + timedelta(days=32)).replace(day=1)
    return (first.replace(hour=0, minute=0, second=0, microsecond=0) - now).total_seconds() * 1_000


async def raw_usage(storage: Storage, tenant: str = "acme") -> dict[str, float]:
    flat = await storage.client.call("HGETALL", prefix_of(storage).usage(tenant))
    return {k.decode(): float(v) for k, v in zip(flat[::2], flat[1::2], strict=True)}


def now_ms() -> int:
    return int(time.time() * 1_000)
