"""`map`, composed: what is stored goes in, one HTML file comes out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bandit.context.remap import Refit
from bandit.errors import BanditError
from router.adapters.storage import Storage
from router.app.learner_state_factory import LearnerStateFactory
from router.app.process import opened_storage
from router.config import Config
from router.config.values import catalog_of, refit_of, units_of, weights_of
from router.domain.errors import SnapshotRefused
from router.domain.logged_context import action_of
from router.domain.records import DecisionRecord
from router.learning.learner_state import LearnerState
from router.learning.upgrades import moved_record
from router.ports.survey import PromptSample
from router.runtime.files import write_file
from router.tools.map.atlas import Atlas, MapHead, MapSources, make_atlas
from router.tools.map.page import page
from router.tools.map.traffic import traffic_of

EXAMPLES = 3
"""Beginnings of prompts shown per region."""


@dataclass(frozen=True, slots=True)
class MapOptions:
    """snapshot: a file that `calibrate --out` wrote, None for the store. most: decisions read."""

    out: Path
    snapshot: Path | None = None
    most: int = 20_000


@dataclass(frozen=True, slots=True)
class _StoredData:
    """snapshot: 0 for none."""

    payload: bytes | None = None
    snapshot: int = 0
    records: Sequence[DecisionRecord] = ()
    terms: Mapping[int, Mapping[str, int]] | None = None
    prompts: Sequence[PromptSample] = ()


def write_map(config: Config, options: MapOptions, env: Mapping[str, str]) -> Atlas:
    """Write the map and return it. Raises RouterError."""
    factory = LearnerStateFactory(config, catalog_of(config))
    made = refit_of(config)
    stored = asyncio.run(_stored(config, options, env, made))
    atlas = _atlas(config, factory, stored, made)
    write_file(options.out, page(atlas).encode())
    return atlas


async def _stored(
    config: Config, options: MapOptions, env: Mapping[str, str], made: Refit
) -> _StoredData:
    if options.snapshot is not None:
        return _StoredData(_read(options.snapshot))
    async with opened_storage(config, env, begun=True) as storage:
        return await _from(storage, options.most, made)


async def _from(storage: Storage, most: int, made: Refit) -> _StoredData:
    found = await storage.snapshots.load()
    remap = made.remap
    return _StoredData(
        payload=found.payload if found else None,
        snapshot=found.version if found else 0,
        records=[moved_record(r, remap) or r async for r in storage.kept.each(most)],
        terms=await _terms(storage, made),
        prompts=await storage.survey.prompts(),
    )


async def _terms(storage: Storage, made: Refit) -> Mapping[int, Mapping[str, int]]:
    """Returns terms by cluster; those of the map before, until a new one has its own."""
    clusters = len(made.map.centroids)
    for version in (made.map.version, *(bridge.source for bridge in made.bridges)):
        found = await storage.survey.terms(version, clusters)
        if found:
            return found
    return {}


def _atlas(config: Config, factory: LearnerStateFactory, stored: _StoredData, made: Refit) -> Atlas:
    catalog, context_map = catalog_of(config), made.map
    state = _state(factory, stored.payload)
    head = MapHead(
        policy=state.policy.name,
        snapshot=stored.snapshot,
        learned=state.policy.learned,
        context_version=context_map.version,
        weights=weights_of(config),
        cost_unit_usd=units_of(config, catalog).cost_usd,
        made_s=time.time(),
    )
    sources = MapSources(
        context_map=context_map,
        policy=state.policy,
        actions=[action_of(plan) for plan in catalog.plans.values()],
        traffic=traffic_of(stored.records, context_map.version, context_map.shape.total),
        terms=stored.terms or {},
        examples=_examples(stored.prompts, context_map.version),
        before=made.positions,
    )
    return make_atlas(sources, head)


def _state(factory: LearnerStateFactory, payload: bytes | None) -> LearnerState:
    if payload is None:
        return factory.fresh()
    try:
        return factory.restore_to_serve(payload)
    except BanditError as error:
        raise SnapshotRefused(f"the snapshot does not fit this config: {error}") from None


def _examples(prompts: Sequence[PromptSample], version: str) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for prompt in prompts:
        if prompt.version == version and len(found.setdefault(prompt.cluster, [])) < EXAMPLES:
            found[prompt.cluster].append(prompt.head)
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise SnapshotRefused(f"{path}: name a snapshot that this process can read") from None
