"""Embeddings off the event loop: a bounded queue in which tenants take turns, threads, an LRU."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from router.adapters.embedding.bge import BgeModel
from router.adapters.embedding.clip import MAX_CHARS, MAX_TOKENS
from router.domain.chat import head_and_tail
from router.domain.errors import ModelUnavailable, Overloaded

BUSY_RETRY_MS = 250
WARM_UP_TEXT = "word " * MAX_TOKENS
"""A prompt as long as one can get, so that the runtime's buffers have their final size."""


@dataclass(slots=True)
class PoolStats:
    """computed: model runs. hits: answers out of the LRU or a run under way. refused: queue full.

    abandoned: runs that were skipped because everyone who asked had left.
    """

    computed: int = 0
    hits: int = 0
    refused: int = 0
    abandoned: int = 0


class _EmbedRun:
    """One text on its way through a worker; `callers` wait for it, the first from the start."""

    __slots__ = ("callers", "result", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.callers = 1
        self.result: asyncio.Future[NDArray[np.float32] | None] = (
            asyncio.get_running_loop().create_future()
        )


class _Turns:
    """Runs that wait for a worker, by tenant; the tenants take turns."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[_EmbedRun]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def append(self, tenant: str, run: _EmbedRun) -> None:
        self._waiting.setdefault(tenant, deque()).append(run)

    def pop(self) -> _EmbedRun:
        """Returns the next one; its tenant's others wait behind all other tenants."""
        tenant = next(iter(self._waiting))
        queue = self._waiting.pop(tenant)
        run = queue.popleft()
        if queue:
            self._waiting[tenant] = queue
        return run

    def make_room(self, tenant: str) -> _EmbedRun | None:
        """Returns the last one of who waits for most; None where this tenant itself does."""
        if not self._waiting:
            return None
        most = max(self._waiting, key=lambda name: len(self._waiting[name]))
        if len(self._waiting[most]) <= len(self._waiting.get(tenant, ())) + 1:
            return None
        return self._waiting[most].pop()


class EmbedderPool:
    """Implements `router.ports.upstream.Embedder`; lives on one event loop.

    queue: prompts that may wait for a worker; in a full one who waits for most makes room for a
    tenant that waits for less. cache_entries: of the LRU, by text hash.
    """

    def __init__(
        self, model_dir: Path, *, workers: int, queue: int = 256, cache_entries: int = 10_000
    ) -> None:
        self._model_dir = model_dir
        self._workers = workers
        self._room = workers + queue
        self._cache_entries = cache_entries
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="embed")
        self._model: BgeModel | None = None
        self._loading = Lock()
        self._known: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._running: dict[bytes, _EmbedRun] = {}
        self._turns = _Turns()
        self._busy = 0
        self._closed = False
        self.stats = PoolStats()

    async def warm_up(self) -> None:
        """Load the model and run it once. Raises ModelCorrupt, ModelUnavailable."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, lambda: self._loaded().embed(WARM_UP_TEXT))

    async def embed(self, text: str, tenant: str = "") -> NDArray[np.float32]:
        """(384,), unit norm, read-only. Raises Overloaded when the queue is full."""
        text = head_and_tail(text, MAX_CHARS)
        key = _key(text)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            self.stats.hits += 1
            return known
        return await self._compute(key, text, tenant)

    @property
    def is_idle(self) -> bool:
        return not self._turns and self._busy < self._workers

    @property
    def waiting(self) -> int:
        """Texts that wait for a worker."""
        return len(self._turns)

    def cached(self, text: str) -> NDArray[np.float32] | None:
        return self._known.get(_key(head_and_tail(text, MAX_CHARS)))

    async def _compute(self, key: bytes, text: str, tenant: str) -> NDArray[np.float32]:
        while True:
            run = self._join(key) or self._start(key, text, tenant)
            embedding = await self._wait(run)
            # None: all callers before this one left, and the worker saw that just before it came.
            if embedding is not None:
                return embedding

    def _join(self, key: bytes) -> _EmbedRun | None:
        run = self._running.get(key)
        if run is not None:
            run.callers += 1
            self.stats.hits += 1
        return run

    def _start(self, key: bytes, text: str, tenant: str) -> _EmbedRun:
        if self._closed:
            raise _closing()
        if len(self._running) >= self._room:
            self._make_room(tenant)
        run = self._running[key] = _EmbedRun(text)
        run.result.add_done_callback(lambda done: self._keep(key, run, done))
        self._turns.append(tenant, run)
        self._dispatch()
        return run

    def _make_room(self, tenant: str) -> None:
        """Refuse the last run of who waits for most, which may be this tenant's new one."""
        self.stats.refused += 1
        busy = Overloaded("too many prompts wait to be embedded", retry_after_ms=BUSY_RETRY_MS)
        last = self._turns.make_room(tenant)
        if last is None:
            raise busy
        last.result.set_exception(busy)

    def _dispatch(self) -> None:
        while self._turns and self._busy < self._workers:
            run = self._turns.pop()
            if not run.callers:
                run.result.set_result(None)
                continue
            self._busy += 1
            loop = asyncio.get_running_loop()
            embedded = loop.run_in_executor(self._threads, self._embed, run)
            embedded.add_done_callback(partial(self._done, run))

    def _done(self, run: _EmbedRun, embedded: asyncio.Future[NDArray[np.float32] | None]) -> None:
        self._busy -= 1
        if embedded.cancelled():
            run.result.cancel()
        elif (error := embedded.exception()) is not None:
            run.result.set_exception(error)
        else:
            run.result.set_result(embedded.result())
        self._dispatch()

    async def _wait(self, run: _EmbedRun) -> NDArray[np.float32] | None:
        try:
            # One caller that leaves must not take the others' result along.
            return await asyncio.shield(run.result)
        except asyncio.CancelledError:
            if self._closed and run.result.cancelled():
                raise _closing() from None
            raise
        finally:
            run.callers -= 1

    def _keep(
        self, key: bytes, run: _EmbedRun, done: asyncio.Future[NDArray[np.float32] | None]
    ) -> None:
        if self._running.get(key) is run:
            del self._running[key]
        if done.cancelled() or done.exception() is not None:
            return
        embedding = done.result()
        if embedding is None:
            self.stats.abandoned += 1
            return
        self.stats.computed += 1
        self._known[key] = embedding
        if len(self._known) > self._cache_entries:
            self._known.popitem(last=False)

    def _embed(self, run: _EmbedRun) -> NDArray[np.float32] | None:
        if run.callers == 0:
            return None
        embedding = self._loaded().embed(run.text)
        embedding.flags.writeable = False  # shared by everyone who asks the same
        return embedding

    def _loaded(self) -> BgeModel:
        with self._loading:
            if self._model is None:
                self._model = BgeModel(self._model_dir)
            return self._model

    def close(self) -> None:
        """Ends the workers and frees the model; who still waits gets ModelUnavailable."""
        self._closed = True
        while self._turns:
            self._turns.pop().result.cancel()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._model = None


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest()


def _closing() -> ModelUnavailable:
    return ModelUnavailable("the embedder is closing; ask another replica")
