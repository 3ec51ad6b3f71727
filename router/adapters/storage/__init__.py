"""The ports that keep state, over Redis 8 or newer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from uuid import uuid4

from router.adapters.storage.cache import RedisAnswerCache
from router.adapters.storage.client import Client
from router.adapters.storage.decisions import RedisDecisionLog, RedisDefaults
from router.adapters.storage.embedded import EmbeddedRedis
from router.adapters.storage.events import RedisEventLog, RedisPolicyLog
from router.adapters.storage.idempotency import RedisIdempotency
from router.adapters.storage.keys import Keys
from router.adapters.storage.link.address import Address, Nodes
from router.adapters.storage.link.probe import Probe
from router.adapters.storage.pool import check_address
from router.adapters.storage.quota import RedisQuotaKeeper
from router.adapters.storage.server_facts import (
    ServerFacts,
    read_facts,
    refused_commands,
    saves_of,
)
from router.adapters.storage.settings import CacheBounds, StorageSettings
from router.adapters.storage.short_lived import (
    RedisConversations,
    RedisHealthBoard,
    RedisSessions,
)
from router.adapters.storage.snapshots import RedisLease, RedisSnapshotStore
from router.adapters.storage.survey import RedisKeptDecisions, RedisSurvey
from router.adapters.storage.tenants import RedisTenantDirectory
from router.domain.errors import StorageUnavailable, StoreMissing
from router.ports import Clock

__all__ = [
    "CacheBounds",
    "EmbeddedRedis",
    "Nodes",
    "Storage",
    "StorageSettings",
    "build_storage",
    "open_storage",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """server: the private redis-server, None where a URL is used."""

    cache: RedisAnswerCache
    health: RedisHealthBoard
    quota: RedisQuotaKeeper
    tenants: RedisTenantDirectory
    decisions: RedisDecisionLog
    defaults: RedisDefaults
    events: RedisEventLog
    sessions: RedisSessions
    conversations: RedisConversations
    idempotency: RedisIdempotency
    snapshots: RedisSnapshotStore
    lease: RedisLease
    kept: RedisKeptDecisions
    survey: RedisSurvey
    policies: RedisPolicyLog
    client: Client = field(repr=False)
    probe: Probe = field(repr=False)
    keys: Keys
    server: EmbeddedRedis | None = None

    async def ping(self) -> None:
        """Do what a request needs; a private server that has ended is started again.

        Calls are refused at once after a failure, until one of these succeeds. Raises
        StorageUnavailable, or ServerMissing for a server that is too old or does not start.
        """
        try:
            await self.probe.check()
        except StorageUnavailable:
            if self.server is None or not self.server.ended:
                raise
            await self.server.start()
            await self.probe.check()

    async def facts(self) -> ServerFacts:
        """Raises StorageUnavailable."""
        return await read_facts(self.client)

    async def tried(self) -> ServerFacts:
        """The same, with every command tried where the server takes writes.

        Raises StorageUnavailable.
        """
        facts = await self.facts()
        if facts.info.get("role") == "slave" or facts.info.get("redis_mode") == "sentinel":
            return facts
        refused = await refused_commands(self.client, self.keys)
        return replace(facts, refused=refused, saves=await saves_of(self.client))

    async def close(self) -> None:
        await self.client.close()
        if self.server is not None:
            await self.server.stop()


async def open_storage(
    settings: StorageSettings, *, clock: Clock = time.time, begun: bool = False
) -> Storage:
    """Starts the private server where no URL is set.

    With a URL nothing is sent yet: a server that is away now may be back when it is needed.
    begun: a private store must have been begun before.

    Raises:
        ConfigInvalid: the URL can't be one.
        ServerMissing: the private server can't be started.
        StoreUnwritable: its directory can't be written.
        StoreMissing: there is no private store, though `begun`.

    """
    if settings.url or settings.nodes:
        address = Address(url=settings.url, nodes=settings.nodes, slot=settings.prefix)
        check_address(address)
        return build_storage(settings, address, clock=clock)
    server = EmbeddedRedis(
        settings.data_dir,
        appendfsync=settings.appendfsync,
        start_timeout_ms=settings.start_timeout_ms,
    )
    if begun and not server.begun:
        raise StoreMissing(
            f"nothing was stored in {server.data_dir} yet: name the store of the running router in "
            "redis.url or redis.embedded.data_dir"
        )
    await server.start()
    return build_storage(settings, Address(socket=server.socket), clock=clock, server=server)


def build_storage(
    settings: StorageSettings,
    address: Address,
    *,
    clock: Clock,
    server: EmbeddedRedis | None = None,
) -> Storage:
    keys = Keys(settings.prefix)
    client = Client(address, pool_size=settings.pool_size, timeout_ms=settings.timeout_ms)
    events = RedisEventLog(client, keys, settings.keep_events, _new_epoch)
    return Storage(
        cache=RedisAnswerCache(client, keys, settings.cache),
        health=RedisHealthBoard(client, keys, settings.health),
        quota=RedisQuotaKeeper(client, keys, settings.join_window_s, settings.keep_decisions_s),
        tenants=RedisTenantDirectory(client, keys),
        decisions=RedisDecisionLog(client, keys, clock, settings),
        defaults=RedisDefaults(client, keys, clock, settings),
        events=events,
        sessions=RedisSessions(client, keys),
        conversations=RedisConversations(client, keys),
        idempotency=RedisIdempotency(client, keys),
        snapshots=RedisSnapshotStore(client, keys, settings.keep_snapshots, _new_epoch),
        lease=RedisLease(client, keys),
        kept=RedisKeptDecisions(client, keys, events),
        survey=RedisSurvey(client, keys, settings.keep_decisions_s),
        policies=RedisPolicyLog(client, keys, clock, settings.max_events),
        client=client,
        probe=Probe(client, keys, is_cluster=address.is_cluster),
        keys=keys,
        server=server,
    )


def _new_epoch() -> str:
    return uuid4().hex
