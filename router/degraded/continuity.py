"""Whether the store is away, what waits on disk for its return, and who may be served meanwhile."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from router.degraded.entries import Entry, encode_entry, kind_of
from router.degraded.settings import DegradedSettings
from router.domain import MS_PER_S
from router.domain.errors import Overloaded, RouterError, StorageUnavailable
from router.domain.tenants import Tenant
from router.ports import Clock
from router.ports.observer import Observer
from router.ports.spool import Spool

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")

HELD_BYTES: Final = 8 << 10
"""Room on disk held for what a request that is admitted will leave."""
MOST_MARKED: Final = 10_000
FAILURES: Final = 3
"""Calls in a row that the store did not answer, until the probe says more; one is a blip."""
PAID_FOR: Final = 1.25
"""What was admitted may pass the bound by this, rather than be lost."""


class Bounded(OrderedDict[K, V], Generic[K, V]):
    """The newest `most` entries."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def put(self, key: K, value: V) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)


@dataclass(frozen=True, slots=True)
class SpoolState:
    """entries, size_bytes: not delivered. oldest_ms: when the first of them was accepted, or 0."""

    entries: int
    size_bytes: int
    oldest_ms: int


class Continuity:
    """Keeps writes that the store could not take. clock: seconds since the epoch.

    spool: None where there is no place for them; then nothing is served without the store.
    """

    def __init__(
        self, spool: Spool | None, settings: DegradedSettings, observer: Observer, clock: Clock
    ) -> None:
        self.spool = spool
        self._settings = settings
        self._observer = observer
        self._clock = clock
        self.is_away = False
        self._failures = 0
        self.disk_refuses = False
        self.oldest_ms = 0
        self._waiting: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()
        self._held: dict[str, str] = {}
        self._holders: Counter[str] = Counter()
        self._degraded: Bounded[str, None] = Bounded(MOST_MARKED)
        self._uncovered: Bounded[str, None] = Bounded(MOST_MARKED)

    @property
    def now_ms(self) -> int:
        return int(self._clock() * MS_PER_S)

    @property
    def state(self) -> SpoolState:
        size = self.spool.size_bytes if self.spool and self._waiting else 0
        return SpoolState(self._waiting.total(), size, self.oldest_ms)

    def ask(self, call: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """Ask the store. Raises StorageUnavailable, at once while it is known to be away."""
        if self.is_away:
            raise away()
        return self.noting(call())

    async def noting(self, call: Awaitable[T]) -> T:
        """Ask the store, whatever is known of it."""
        try:
            told = await call
        except StorageUnavailable as error:
            if not error.is_refused:
                self._failures += 1
                if self._failures >= FAILURES:
                    self.failed()
            raise
        self._failures = 0
        return told

    def failed(self) -> None:
        self.is_away = self.spool is not None

    def watched(self, check: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Returns the check, which then also tells when the store is back."""

        async def watch() -> None:
            try:
                await check()
            except RouterError:
                self.failed()
                raise
            self.is_away = False

        return watch

    def may_degrade(self, tenant: Tenant) -> bool:
        if self.spool is None or not self._settings.serve:
            return False
        limits = tenant.limits
        if limits.degraded:
            return limits.degraded == "yes"
        return not limits.daily_usd and not limits.monthly_usd

    def admit(self, tenant: Tenant, request_id: str) -> None:
        """Hold room on disk for a request that is served without the store.

        Raises StorageUnavailable, Overloaded.
        """
        if not self.may_degrade(tenant):
            self._observer.served_degraded("not_permitted")
            raise away()
        if self.disk_refuses or not self._has_disk():
            self._observer.served_degraded("disk")
            raise away()
        if not self._has_room(tenant.name):
            self._observer.served_degraded("spool_full")
            raise Overloaded("too much waits to be stored while the store is away: try again later")
        if request_id not in self._uncovered:
            self._observer.served_degraded("served")
        self._degraded.put(request_id, None)
        if request_id not in self._held:
            self._held[request_id] = tenant.name
            self._holders[tenant.name] += 1

    def lacks_allowance(self, request_id: str) -> None:
        """Tell of a request that the tenant's allowance refuses; its disk may be asked beside."""
        if request_id not in self._uncovered:
            self._observer.served_degraded("no_allowance")
        self._uncovered.put(request_id, None)

    def _has_room(self, tenant: str) -> bool:
        """Entries are compressed on disk: a tenant has its share of what they take there."""
        bound, size = self._settings.spool_bytes, self.state.size_bytes
        share = self._sizes[tenant] / max(1, self._sizes.total()) * size
        own = share + (self._holders[tenant] + 1) * HELD_BYTES
        whole = size + (len(self._held) + 1) * HELD_BYTES
        return own <= bound * self._settings.tenant_share and whole <= bound

    def _has_disk(self) -> bool:
        """What the requests under way will leave goes on the disk as well."""
        held = (len(self._held) + 1) * HELD_BYTES
        return self.spool is not None and held <= self.spool.free_bytes

    def is_degraded(self, request_id: str) -> bool:
        """True if anything of a request under way was decided or kept without the store."""
        return request_id in self._degraded

    def end(self, request_id: str) -> None:
        """Tell that a request is over: its room is free."""
        self._degraded.pop(request_id, None)
        self._uncovered.pop(request_id, None)
        tenant = self._held.pop(request_id, None)
        if tenant is not None:
            _lower(self._holders, tenant, 1)

    def waits(self, queue: str, entry_id: str) -> bool:
        """True while an earlier write is on disk alone: a newer one must not overtake it."""
        return f"{queue}:{entry_id}" in self._waiting

    async def write(self, entry: Entry) -> None:
        """Keep a write for the store's return. Raises StorageUnavailable."""
        spool = self.spool
        if spool is None or spool.size_bytes > self._settings.spool_bytes * PAID_FOR:
            raise away()
        body = encode_entry(entry)
        # Told before it is on disk: a newer write that comes meanwhile goes behind it.
        self._await(entry, len(body))
        try:
            await spool.append(body)
        except StorageUnavailable:
            self.delivered(entry, len(body))
            self.disk_refuses = True
            raise
        self.disk_refuses = False
        self._degraded.put(entry.id, None)
        self._observer.spooled(kind_of(entry))

    def adopted(self, entry: Entry, size: int) -> None:
        """Tell of a write that an ended process left on disk. size: of the entry itself."""
        self._await(entry, size)

    def _await(self, entry: Entry, size: int) -> None:
        self._waiting[entry.order] += 1
        self._sizes[entry.tenant] += size
        self.oldest_ms = min(self.oldest_ms or entry.at_ms, entry.at_ms)

    def delivered(self, entry: Entry, size: int) -> None:
        _lower(self._waiting, entry.order, 1)
        _lower(self._sizes, entry.tenant, size)
        if not self._waiting:
            self.oldest_ms = 0


def _lower(counts: Counter[str], key: str, by: int) -> None:
    counts[key] -= by
    if counts[key] <= 0:
        del counts[key]


def away() -> StorageUnavailable:
    return StorageUnavailable("the storage does not answer: try again")
