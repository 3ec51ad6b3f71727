"""Faults of a store: each is a function that returns when it is healed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from bench.chaos.books import Books, read_books
from bench.chaos.nodes import Node
from bench.chaos.proxy import HOST, FaultyProxy, Mode
from bench.chaos.stage import opened
from router.adapters.storage import Storage

SHOT_S = 2.0
HOLD_S = 5.0
RESETS_S = 8.0
RESETS_EVERY_MS = 300.0
LAG_S = 2.0
NANO = 1_000_000_000


@dataclass(slots=True)
class Gone:
    """Writes that only a primary had which is no more: Redis itself lost them."""

    decisions: set[str] = field(default_factory=set)
    feedback: set[str] = field(default_factory=set)
    charged_usd: float = 0.0


@dataclass(slots=True)
class Store:
    """What routers reach by one name: a proxy that leads to the primary."""

    proxy: FaultyProxy
    primary: Node
    replica: Node
    tenants: tuple[str, ...]
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
    call = storage.client.call
    nano = sum([int(await call("HGET", f"ar:usage:{name}", "monthly") or 0) for name in tenants])
    for key in await call("KEYS", "ar:reservation:*"):
        estimate, settled = await call("HMGET", key, "cost", "settled")
        nano -= 0 if settled else int(estimate or 0)
    return nano / NANO


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
    "full": _full,
    "readonly": _read_only,
    "resets": _resets,
    "failover": _failover,
}
"""By name, in the order in which they are tried."""
