"""The keys of tenants, and what operators do with tenants."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final, Protocol

from router.domain.errors import FieldViolation, InvalidRequest
from router.domain.tenants import NOT_OBSERVED, Orphan, Tenant, TenantLimits, TenantUsage

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
NAME_FIX: Final = "use lower-case letters, digits, '.', '_', '-' (64 at most)"
EXPIRED: Final = "this API key has expired: ask your operator for a new one"
MOST_KEYS: Final = 100
"""Keys of one tenant, expired ones included."""
SHOWN_HASH: Final = 12
MOST_AMOUNT: Final = 10**12
KEY_ID: Final = re.compile(r"[0-9a-fA-F]{6,64}")
KEY_ID_FIX: Final = "write the first 6 or more digits of a key's id"
YES_OR_NO: Final = ("yes", "no", "")


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """Facts that are stored of a key beside its hash.

    last_four: its last characters. created_ms, expires_ms: since the epoch by the store's clock, 0
    for never. All are empty for keys that an earlier version made.
    """

    last_four: str = ""
    created_ms: int = 0
    expires_ms: int = 0


NO_FACTS: Final = KeyFacts()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a tenant, without the key. expired: by the store's clock."""

    hash: str
    facts: KeyFacts = NO_FACTS
    expired: bool = False

    @property
    def id(self) -> str:
        """Return the beginning of its hash, which names it among the keys of its tenant."""
        return self.hash[:SHOWN_HASH]


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: its text is told this once."""

    text: str = field(repr=False)
    key: ApiKey


@dataclass(frozen=True, slots=True)
class Expiry:
    """The end of a key: in so many seconds, or at a time since the epoch; never without both."""

    in_s: float | None = None
    at_ms: int | None = None


NEVER: Final = Expiry()


@dataclass(frozen=True, slots=True)
class LimitsChange:
    """New limits of a tenant; None for those that stay."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    daily_usd: float | None = None
    monthly_usd: float | None = None
    arms: tuple[str, ...] | None = None
    observe: str | None = None
    degraded: str | None = None
    evidence: str | None = None

    def applied(self, limits: TenantLimits, arms: Collection[str]) -> TenantLimits:
        """Return the limits with these changes. Raises InvalidRequest."""
        if found := list(self._violations(arms)):
            raise InvalidRequest(*found)
        named = ((each.name, getattr(self, each.name)) for each in fields(self))
        changed = replace(limits, **{name: value for name, value in named if value is not None})
        return replace(changed, arms=tuple(dict.fromkeys(changed.arms)))

    def _violations(self, arms: Collection[str]) -> Iterator[FieldViolation]:
        for name in ("requests_per_minute", "tokens_per_minute", "daily_usd", "monthly_usd"):
            amount = getattr(self, name)
            if amount is not None and not 0 <= amount <= MOST_AMOUNT:
                yield FieldViolation(f"limits.{name}", f"at most {MOST_AMOUNT}; 0 means unlimited")
        observe = self.observe or NOT_OBSERVED
        observed = () if observe == NOT_OBSERVED else (observe,)
        for name, asked in (("arms", self.arms or ()), ("observe", observed)):
            if unknown := sorted(set(asked) - set(arms)):
                fix = f"{unknown[0]} is no arm: choose of {', '.join(arms)}"
                yield FieldViolation(f"limits.{name}", fix)
        for name in ("degraded", "evidence"):
            if getattr(self, name) not in (None, *YES_OR_NO):
                yield FieldViolation(f"limits.{name}", "write yes, no or nothing")


@dataclass(frozen=True, slots=True)
class Remainder:
    """Something that outlives its tenant, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class TenantDeleted:
    """The end of a tenant. under_way: reservations that still run; they settle themselves."""

    keys: int
    cached_answers: int
    under_way: int
    remains: tuple[Remainder, ...] = ()


def check_name(name: str) -> None:
    """Raises InvalidRequest."""
    if not NAME.fullmatch(name):
        raise InvalidRequest(FieldViolation("name", NAME_FIX))


class TenantOperations(Protocol):
    """The use cases of operators for tenants. Every method raises RouterError only.

    Those that name a tenant raise TenantNotFound.
    """

    async def create(
        self, name: str, change: LimitsChange, expiry: Expiry = NEVER
    ) -> tuple[Tenant, NewKey]:
        """Raises TenantExists, InvalidRequest."""
        ...

    async def update(self, name: str, change: LimitsChange) -> Tenant:
        """Raises InvalidRequest."""
        ...

    async def show(self, name: str) -> Tenant: ...

    async def tenants(self) -> Sequence[Tenant]:
        """Return all of them by name, also those without a key."""
        ...

    async def usage(self, name: str) -> tuple[Tenant, TenantUsage]: ...

    async def delete(self, name: str) -> TenantDeleted: ...

    async def add_key(self, name: str, expiry: Expiry = NEVER) -> NewKey:
        """The others work on. Raises TooManyKeys, InvalidRequest."""
        ...

    async def rotate(self, name: str, expiry: Expiry = NEVER) -> NewKey:
        """All others stop."""
        ...

    async def keys(self, name: str) -> Sequence[ApiKey]: ...

    async def revoke_key(self, name: str, key_id: str) -> ApiKey:
        """key_id: the beginning of its hash. Raises KeyNotFound, InvalidRequest."""
        ...

    async def revoke(self, name: str) -> int:
        """Stop all keys. Returns their number."""
        ...

    async def release(self, name: str) -> Sequence[Orphan]:
        """Settle what is reserved by routers that died."""
        ...
