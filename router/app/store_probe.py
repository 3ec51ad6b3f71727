"""`check-config --probe`: whether the Redis server of a config is fit to keep the store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.adapters.storage.server_facts import MIB, ServerFacts, StoreFinding, findings
from router.app.process import opened_storage, storage_settings
from router.config import Config
from router.domain.errors import StorageUnavailable


@dataclass(frozen=True, slots=True)
class StoreProbe:
    summary: str
    findings: Sequence[StoreFinding] = ()


def probe_store(config: Config, env: Mapping[str, str]) -> StoreProbe:
    """Ask the server. Raises RouterError where nobody answers."""
    settings = storage_settings(config, env)
    if not settings.url and settings.nodes is None:
        return StoreProbe("a private server, which `serve` starts")
    facts = asyncio.run(_asked(config, env))
    return StoreProbe(_summary(facts), findings(facts))


async def _asked(config: Config, env: Mapping[str, str]) -> ServerFacts:
    async with opened_storage(config, env) as storage:
        try:
            return await storage.tried()
        except StorageUnavailable:
            await storage.ping()  # it tells a Sentinel, or TLS, from what merely fails
            raise


def _summary(facts: ServerFacts) -> str:
    version = facts.info.get("redis_version")
    if version is None:
        return "the server answers, and does not tell of itself"
    limit = f" of {facts.limit_bytes // MIB}" if facts.limit_bytes else ""
    return f"Redis {version}, {facts.used_bytes // MIB}{limit} MiB in use"
