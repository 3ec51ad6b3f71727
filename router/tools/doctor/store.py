"""The store: whether it answers, keeps what it is given, and agrees with this machine's clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from router.adapters.storage import Storage
from router.adapters.storage.server_facts import ServerFacts, StoreFinding, Unfit, findings
from router.domain import MS_PER_S
from router.domain.errors import StorageUnavailable
from router.ports import Clock
from router.tools.doctor.findings import Finding, State, fail, lasting, ok, warn

SKEWED_S: Final = 1.0
WRONG_S: Final = 60.0
NTP: Final = "let NTP keep the clocks of all machines (chrony, systemd-timesyncd)"
CHECKS: Final = {
    Unfit.EVICTION: "store.eviction",
    Unfit.NO_LIMIT: "store.memory",
    Unfit.NEARLY_FULL: "store.memory",
    Unfit.NOT_DURABLE: "store.persistence",
    Unfit.WRITE_FAILED: "store.persistence",
    Unfit.VERSION: "store.version",
    Unfit.NOT_PERMITTED: "store.permissions",
}
FIXES: Final = {
    Unfit.WRITE_FAILED: "make room on the server's disk, and read its log",
    Unfit.NOT_PERMITTED: "permit them to the user that redis.url names",
}


async def look_at_store(storage: Storage) -> list[Finding]:
    """Raises StorageUnavailable where it does not answer."""
    began_s = time.perf_counter()
    try:
        facts = await storage.tried()
    except StorageUnavailable:
        await storage.ping()  # it tells a Sentinel, or TLS, from what merely fails
        raise
    took_ms = (time.perf_counter() - began_s) * MS_PER_S
    answers = ok("store.reachable", f"the store answers within {took_ms:.0f} ms", ms=took_ms)
    return [answers, *_told(facts, is_ours=storage.server is not None)]


def _told(facts: ServerFacts, *, is_ours: bool) -> Iterator[Finding]:
    """is_ours: a private server, which is started as it should be."""
    bad = [] if is_ours else [_finding(found) for found in findings(facts)]
    wrong = {found.check for found in bad}
    yield from (found for found in _good(facts, is_ours=is_ours) if found.check not in wrong)
    yield from bad


def _good(facts: ServerFacts, *, is_ours: bool) -> Iterator[Finding]:
    info = facts.info
    if version := info.get("redis_version"):
        kind = "a private server" if is_ours else "of yours"
        yield ok("store.version", f"Redis is {version}, {kind}", version=version)
    if policy := info.get("maxmemory_policy"):
        yield ok("store.eviction", f"maxmemory-policy is {policy}", policy=policy)
    if info.get("aof_enabled") == "1":
        yield ok("store.persistence", "writes go to the append-only file")
    used, limit = facts.used_bytes, facts.limit_bytes
    yield ok("store.memory", f"{used >> 20} MiB are used", used_bytes=used, limit_bytes=limit)


def _finding(found: StoreFinding) -> Finding:
    text, _, fix = found.text.partition(": ")
    if found.what is Unfit.NO_LIMIT:
        text, _, fix = found.text.rpartition("; ")
    elif found.what in FIXES:
        text, fix = found.text, FIXES[found.what]
    state = State.FAIL if found.grave else State.WARN
    return Finding(CHECKS.get(found.what, "store.server"), state, text, fix or "see docs/redis.md")


async def look_at_clock(storage: Storage, clock: Clock) -> Finding:
    """Compare this machine's clock with the store's, by which budgets and keys end."""
    began_s = clock()
    now_ms = await storage.tenants.now_ms()
    ended_s = clock()
    unsure_s = (ended_s - began_s) / 2
    ahead_s = (began_s + ended_s) / 2 - now_ms / MS_PER_S
    off_s = max(0.0, abs(ahead_s) - unsure_s)
    if off_s < SKEWED_S:
        return ok("clock", "this machine's clock agrees with the store's", ahead_s=ahead_s)
    side = "ahead of" if ahead_s > 0 else "behind"
    text = f"this machine's clock is {lasting(abs(ahead_s))} {side} the store's"
    tell = fail if off_s >= WRONG_S else warn
    return tell("clock", text, NTP, ahead_s=ahead_s)
