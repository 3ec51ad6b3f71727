"""Tenants, what they may spend, and the names that a promise to one of them goes by."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

UNLIMITED = 0
NOT_OBSERVED = "off"


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """0 means unlimited. arms: the only arms this tenant may use (empty: all).

    observe: the arm that serves this tenant while the policy only watches; "" for what the config
    says, NOT_OBSERVED for none. degraded: "yes" or "no", whether this tenant is served while the
    store is away; "" for yes where there is no budget. evidence: "no" where this tenant's prompts
    are asked of no arm but the one that answers; "" for yes.
    """

    requests_per_minute: int = UNLIMITED
    tokens_per_minute: int = UNLIMITED
    daily_usd: float = UNLIMITED
    monthly_usd: float = UNLIMITED
    arms: tuple[str, ...] = ()
    observe: str = ""
    degraded: str = ""
    evidence: str = ""

    @property
    def spending(self) -> bool:
        """True if there is a limit that a request could exceed."""
        return bool(
            self.requests_per_minute or self.tokens_per_minute or self.daily_usd or self.monthly_usd
        )


@dataclass(frozen=True, slots=True)
class Tenant:
    """valid_s: how long the key that it was found by still works.

    generation: tells it from an earlier tenant of its name; "" for one of an earlier version.
    """

    name: str
    limits: TenantLimits = field(default_factory=TenantLimits)
    valid_s: float = field(default=math.inf, compare=False)
    generation: str = field(default="", compare=False)

    @property
    def scope(self) -> str:
        """The name under which answers are kept, for no other tenant, not even of its name."""
        return f"{self.name}#{self.generation}" if self.generation else self.name


LEASE_S: Final = 45
"""A reservation or claim that its owner has not renewed for so long is nobody's."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Quota that was taken in advance; settled exactly once by id.

    tokens, cost_usd: a bound on what may come. asked_tokens: what the request itself asks for; a
    limit below that can never be met.
    held: false where nothing may have been reserved; settling then charges all of it, once.
    expected_usd: charged if its owner dies; None for all of cost_usd.
    renewed: false where nobody renews it: it is kept until the join window has closed.
    """

    id: str
    tenant: str
    tokens: int
    cost_usd: float
    held: bool = True
    expected_usd: float | None = None
    asked_tokens: int = 0
    renewed: bool = True


@dataclass(frozen=True, slots=True)
class Settlement:
    """A reservation and what it came to: a write that is owed until the store has it."""

    reservation: Reservation
    tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Orphan:
    """A reservation whose owner died, and what was charged for it. age_ms: since it was made."""

    id: str
    tenant: str
    reserved_usd: float
    charged_usd: float
    age_ms: int


@dataclass(frozen=True, slots=True)
class TenantUsage:
    """What a tenant has used. Spent and reserved money are told apart.

    left: counts what is reserved as used. reservations: how many, orphans among them included.
    requests_daily, requests_monthly: requests that were let in.
    """

    daily_usd: float
    monthly_usd: float
    reserved_usd: float
    left: QuotaLeft
    reservations: int = 0
    orphans: int = 0
    orphaned_usd: float = 0.0
    requests_daily: int = 0
    requests_monthly: int = 0


@dataclass(frozen=True, slots=True)
class QuotaLeft:
    """None where the tenant has no such limit."""

    requests: int | None = None
    tokens: int | None = None
    daily_usd: float | None = None
    monthly_usd: float | None = None


def hash_key(api_key: str) -> str:
    """SHA-256 of a key. Keys are 256 random bits, so a slow password hash would add nothing."""
    return hashlib.sha256(api_key.encode()).hexdigest()


_FOR: Final = "/"
"""No plan's name has one."""

T = TypeVar("T")


def promise_name(plan: str, tenant: str = "") -> str:
    """The name that a promise goes by.

    >>> promise_name("checked"), promise_name("checked", "acme")
    ('checked', 'checked/acme')
    """
    return f"{plan}{_FOR}{tenant}" if tenant else plan


def plan_of_promise(name: str) -> str:
    """The plan of a holder.

    >>> plan_of_promise("checked/acme")
    'checked'
    """
    return name.partition(_FOR)[0]


def renamed_promise(name: str, names: Mapping[str, str]) -> str:
    """Returns the name of a promise after its plan was renamed."""
    plan, mark, tenant = name.partition(_FOR)
    return f"{names.get(plan, plan)}{mark}{tenant}"


def promise_for(promises: Mapping[str, T], plan: str, tenant: str) -> T | None:
    """A tenant's own, else everybody's; None where nothing is promised."""
    own = promises.get(promise_name(plan, tenant))
    return promises.get(plan) if own is None else own
