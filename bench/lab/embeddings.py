"""Embeddings, cached outside the repository, and context maps fitted on held-out prompts."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import platformdirs
from numpy.typing import NDArray
from rich.progress import Progress

from bandit import ContextMap
from bandit.context.fitting import MIN_PROMPTS, fit
from bandit.types import Context
from bench.lab.provider import chat_of
from bench.lab.recorded import BenchError, Rows
from bench.lab.streams import Split, Stream, draw
from router.adapters.embedding.files import WEIGHTS, model_dir
from router.adapters.embedding.pool import EmbedderPool
from router.domain.errors import RouterError
from router.domain.logged_context import facts_of

DIMENSIONS: Final = 384
BLOCK: Final = 512
Vectors = dict[bytes, NDArray[np.float32]]
MOST_FITTED: Final = 4_000
KEPT: Final = 2
"""Maps in memory: jobs come seed by seed."""


def default_cache() -> Path:
    """Returns a path per model: other weights give other vectors."""
    return platformdirs.user_cache_path("adaptive-router") / f"bench-{WEIGHTS.sha256[:12]}.npz"


def embeddings(prompts: Sequence[str], cache: Path, progress: Progress) -> NDArray[np.float32]:
    """Returns (n, 384) of unit norm; new ones are added to `cache` block by block."""
    known = load(cache)
    keys = [key_of(prompt) for prompt in prompts]
    missing = {k: p for k, p in zip(keys, prompts, strict=True) if k not in known}
    if missing:
        asyncio.run(_fill(missing, known, cache, progress))
    return np.stack([known[key] for key in keys])


def embed_texts(texts: Sequence[str], progress: Progress) -> NDArray[np.float32]:
    """Embed with the default cache. Raises BenchError when the model is not there."""
    try:
        return embeddings(texts, default_cache(), progress)
    except RouterError as error:
        raise BenchError(f"{error}; fetch the model with scripts/fetch_model") from None


def embed_stream(
    stream: Stream,
    seeds: Iterable[int],
    progress: Progress,
    *,
    calibrate: int = 0,
    shipped_map: bool = False,
) -> NDArray[np.float32]:
    """Returns (rows recorded, 384); rows that no replay of these seeds reads are 0."""
    splits = [draw(stream, seed, calibrate) for seed in seeds]
    used = [rows for s in splits for rows in (s.rows, s.held_out[:calibrate])]
    fitted = [fitted_rows(split, shipped=shipped_map) for split in splits]
    rows = np.unique(np.concatenate([*used, *fitted]))
    found = embed_texts([stream.data.prompts[i] for i in rows], progress)
    vectors = np.zeros((len(stream.data), found.shape[1]), dtype=np.float32)
    vectors[rows] = found
    return vectors


def key_of(prompt: str) -> bytes:
    return hashlib.blake2b(prompt.encode(errors="replace"), digest_size=16).digest()


async def _fill(missing: dict[bytes, str], known: Vectors, cache: Path, progress: Progress) -> None:
    pool = EmbedderPool(model_dir(), workers=len(os.sched_getaffinity(0)), queue=BLOCK)
    task = progress.add_task("embedding prompts", total=len(missing))
    todo = list(missing.items())
    try:
        await pool.warm_up()
        for start in range(0, len(todo), BLOCK):
            block = todo[start : start + BLOCK]
            found = await asyncio.gather(*(pool.embed(prompt) for _, prompt in block))
            known.update(zip((key for key, _ in block), found, strict=True))
            save(cache, known)
            progress.advance(task, len(block))
    finally:
        pool.close()
    progress.remove_task(task)


def load(cache: Path) -> Vectors:
    """Read the cache; a missing or damaged one is empty."""
    try:
        with np.load(io.BytesIO(cache.read_bytes()), allow_pickle=False) as file:
            keys, vectors = file["keys"], file["vectors"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}
    if keys.shape != (len(vectors), 16) or vectors.shape[1:] != (DIMENSIONS,):
        return {}
    return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}


def save(cache: Path, known: Vectors) -> None:
    """Replace the file in one step: another run reads the old one or the new one."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    part = cache.with_suffix(f".{os.getpid()}.npz")
    keys = np.frombuffer(b"".join(known), dtype=np.uint8).reshape(-1, 16)
    np.savez(part, keys=keys, vectors=np.stack(list(known.values())))
    part.replace(cache)


@dataclass(frozen=True, slots=True)
class MapWithContexts:
    """A map and the contexts built with it, by row; replays fill them in."""

    map: ContextMap
    contexts: dict[int, Context] = field(default_factory=dict)


def fitted_rows(split: Split, *, shipped: bool) -> Rows:
    """Returns the rows a map is fitted on; none where the package's own map is used."""
    rows = split.held_out[:MOST_FITTED]
    return rows[:0] if shipped or len(rows) < MIN_PROMPTS else rows


def origin(split: Split, *, shipped: bool) -> str:
    """Returns a sentence on where the context map and the price priors come from."""
    fitted = len(fitted_rows(split, shipped=shipped))
    told = f"is fitted on {fitted} of" if fitted else "is the package's own, fitted on none of"
    return (
        f"The context map {told} {len(split.held_out)} prompts beside the stream, price priors are "
        f"the mean costs of {len(split.priced)}."
    )


class ContextMaps:
    """Cache of the newest maps; `shipped` uses the package's own for every stream."""

    def __init__(self, *, shipped: bool) -> None:
        self._shipped = shipped
        self._kept: OrderedDict[tuple[str, int], MapWithContexts] = OrderedDict()

    def of(
        self, stream: Stream, split: Split, embeddings: NDArray[np.float32], seed: int
    ) -> MapWithContexts:
        key = stream.spec.name, seed
        if key not in self._kept:
            self._kept[key] = MapWithContexts(self._made(stream, split, embeddings))
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    def _made(self, stream: Stream, split: Split, embeddings: NDArray[np.float32]) -> ContextMap:
        rows = fitted_rows(split, shipped=self._shipped)
        if not len(rows):
            return ContextMap.default()
        facts = [facts_of(chat_of(stream.data.prompts[row], row)) for row in rows.tolist()]
        return fit(embeddings[rows], facts)
