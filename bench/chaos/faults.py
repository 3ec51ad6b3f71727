"""Faults of a store: each is a function that returns when it is healed."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

from bench.chaos.actors import Program
from bench.chaos.books import Books, read_books
from bench.chaos.nodes import Node
from bench.chaos.proxy import HOST, FaultyProxy, Mode
from bench.chaos.stage import opened, until
from demo.setup import serving
from router.adapters.storage import Storage

SHOT_S = 2.0
HOLD_S = 5.0
RESETS_S = 8.0
RESETS_EVERY_MS = 300.0
LAG_S = 2.0
NANO = 1_000_000_000
DRAIN_S = 5.0
"""Time that routers are given to end calls under way."""
SLACK_S = 3.0


@dataclass(slots=True)
class Gone:
    """Writes that only a primary had which is no more: Redis itself lost them."""

    decisions: set[str] = field(default_factory=set)
    feedback: set[str] = field(default_factory=set)
    charged_usd: float = 0.0


@dataclass(slots=True)
class Store:
    """The store as routers reach it: by one name, a proxy that leads to the primary.

    routers: with their ports. slow: those that SIGTERM did not end in time while it was away.
    """

    proxy: FaultyProxy
    primary: Node
    replica: Node
    tenants: tuple[str, ...]
    routers: Mapping[int, Program] = field(default_factory=dict)
    slow: list[str] = field(default_factory=list)
    gone: Gone = field(default_factory=Gone)


Fault = Callable[[Store], Awaitable[None]]


def _shot(act: Callable[[FaultyProxy], int]) -> Fault:
    async def fault(store: Store) -> None:
        act(store.proxy)
        await asyncio.sleep(SHOT_S)

    return fault


def _mode(mode: Mode) -> Fault:
    async def fault(store: Store) -> None:
        await store.proxy.set(mode)
        await asyncio.sleep(HOLD_S)
        await store.proxy.set(Mode.PASS)

    return fault


async def _resets(store: Store) -> None:
    await store.proxy.resets(RESETS_EVERY_MS, RESETS_S)


async def _stopped(store: Store) -> None:
    store.primary.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(HOLD_S)
    finally:
        store.primary.send(signal.SIGCONT)


async def _killed(store: Store) -> None:
    store.primary.kill()
    await asyncio.sleep(HOLD_S)
    await store.primary.start()


async def _restart(store: Store) -> None:
    """While the store is away one router is ended, one is killed, and both come back."""
    await store.proxy.set(Mode.REFUSE)
    await asyncio.sleep(LAG_S)
    (first, ended), (second, killed) = list(store.routers.items())[:2]
    killed.kill()
    store.slow += await slow_to_end([ended])
    for router in (ended, killed):
        await router.start()
    await asyncio.sleep(LAG_S)
    await store.proxy.set(Mode.PASS)
    with suppress(TimeoutError):
        await until(lambda: serving(first) and serving(second))


async def _full(store: Store) -> None:
    await store.primary.call("CONFIG", "SET", "maxmemory", 1)
    await asyncio.sleep(HOLD_S)
    await store.primary.call("CONFIG", "SET", "maxmemory", 0)


async def _read_only(store: Store) -> None:
    await store.primary.demote()
    await asyncio.sleep(HOLD_S)
    await store.primary.promote()


async def _failover(store: Store) -> None:
    """The replica falls behind, then the name leads to it; old connections stay where they are."""
    old, new = store.primary, store.replica
    await new.promote()  # from here on it hears nothing of the other
    await asyncio.sleep(LAG_S)
    had, had_usd = await _state(new, store.tenants)
    await old.demote()
    store.proxy.switch((HOST, new.port))
    store.primary, store.replica = new, old
    lost, lost_usd = await _state(old, store.tenants)
    store.gone.decisions |= set(lost.decided) - set(had.decided)
    store.gone.feedback |= set(lost.told) - set(had.told)
    store.gone.charged_usd += lost_usd - had_usd
    await asyncio.sleep(HOLD_S)
    await old.follow(new.port)


async def _state(node: Node, tenants: tuple[str, ...]) -> tuple[Books, float]:
    async with opened(node.url) as storage:
        return await read_books(storage), await charged_usd(storage, tenants)


async def charged_usd(storage: Storage, tenants: tuple[str, ...]) -> float:
    """Returns what tenants were charged this month, less what is only reserved."""
    used = [await storage.quota.usage(await storage.tenants.show(name)) for name in tenants]
    return sum(usage.monthly_usd for usage in used)


async def slow_to_end(programs: Sequence[Program]) -> list[str]:
    """Send SIGTERM to all; returns the names of those that took longer than they may."""

    async def took_s(program: Program) -> float:
        began_s = time.monotonic()
        return time.monotonic() - began_s if await program.stop() else inf

    times_s = await asyncio.gather(*map(took_s, programs))
    return [p.name for p, s in zip(programs, times_s, strict=True) if s > DRAIN_S + SLACK_S]


FAULTS: Mapping[str, Fault] = {
    "rst": _shot(FaultyProxy.reset_all),
    "idle": _shot(FaultyProxy.reset_idle),
    "fin": _shot(FaultyProxy.finish_all),
    "hold": _mode(Mode.HOLD),
    "swallow": _mode(Mode.SWALLOW),
    "mute": _mode(Mode.MUTE),
    "refuse": _mode(Mode.REFUSE),
    "stop": _stopped,
    "kill": _killed,
    "restart": _restart,
    "full": _full,
    "readonly": _read_only,
    "resets": _resets,
    "failover": _failover,
}
"""The faults by name, in the order in which they are tried."""
