"""The log's commands, composed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from router.app.process import opened_storage
from router.config import Config
from router.tools.archive.export import Exported, export
from router.tools.archive.receipts import Receipt, receipt


async def run_export(config: Config, env: Mapping[str, str], folder: Path) -> Exported:
    """Raises RouterError."""
    async with opened_storage(config, env, begun=True) as storage:
        return await export(storage.events, folder)


async def find_receipt(config: Config, env: Mapping[str, str], decision_id: str) -> Receipt | None:
    """None for a decision that is not in the store. Raises RouterError."""
    async with opened_storage(config, env, begun=True) as storage:
        (record,) = await storage.events.records([decision_id])
        if record is None:
            return None
        position = await storage.events.position_of(decision_id)
        return receipt(record, position, await storage.snapshots.positions())
