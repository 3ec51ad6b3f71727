"""Embeddings off the event loop: a bounded queue, worker threads with a model each, an LRU."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.adapters.embedding.bge import BgeModel
from router.core.errors import Overloaded

BUSY_RETRY_MS = 250
WARM_UP_TEXT = "What is the capital of Norway?"


@dataclass(slots=True)
class PoolStats:
    """computed: model runs. hits: answers out of the LRU or a run under way."""

    computed: int = 0
    hits: int = 0


class EmbedderPool:
    """Implements `router.core.ports.Embedder`; lives on one event loop.

    queue: prompts that may wait for a worker. cache_entries: of the LRU, by text hash.
    """

    def __init__(
        self, model_dir: Path, *, workers: int, queue: int = 256, cache_entries: int = 10_000
    ) -> None:
        self._model_dir = model_dir
        self._workers = workers
        self._room = workers + queue
        self._cache_entries = cache_entries
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="embed")
        self._own = local()
        self._known: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._running: dict[bytes, asyncio.Future[NDArray[np.float32]]] = {}
        self.stats = PoolStats()

    async def warm_up(self) -> None:
        """Load a model in every worker. Raises ModelCorrupt, ModelUnavailable."""
        loop = asyncio.get_running_loop()
        runs = [
            loop.run_in_executor(self._threads, self._embed, WARM_UP_TEXT)
            for _ in range(self._workers)
        ]
        await asyncio.gather(*runs)

    async def embed(self, text: str) -> NDArray[np.float32]:
        """(384,), unit norm. Raises Overloaded when the queue is full."""
        key = hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest()
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            self.stats.hits += 1
            return known
        running = self._running.get(key)
        if running is None:
            running = self._start(key, text)
        else:
            self.stats.hits += 1
        # One caller that leaves must not take the others' result along.
        return await asyncio.shield(running)

    def _start(self, key: bytes, text: str) -> asyncio.Future[NDArray[np.float32]]:
        if len(self._running) >= self._room:
            raise Overloaded("too many prompts wait to be embedded", retry_after_ms=BUSY_RETRY_MS)
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._threads, self._embed, text)
        self._running[key] = running
        running.add_done_callback(lambda done: self._keep(key, done))
        return running

    def _keep(self, key: bytes, done: asyncio.Future[NDArray[np.float32]]) -> None:
        self._running.pop(key, None)
        if done.cancelled() or done.exception() is not None:
            return
        self.stats.computed += 1
        self._known[key] = done.result()
        if len(self._known) > self._cache_entries:
            self._known.popitem(last=False)

    def _embed(self, text: str) -> NDArray[np.float32]:
        model: Any = getattr(self._own, "model", None)
        if model is None:
            model = self._own.model = BgeModel(self._model_dir)
        embedding: NDArray[np.float32] = model.embed(text)
        embedding.flags.writeable = False  # shared by everyone who asks the same
        return embedding

    def close(self) -> None:
        """Ends the workers; what still waits is dropped."""
        self._threads.shutdown(wait=True, cancel_futures=True)
