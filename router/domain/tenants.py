"""Tenants, what they may spend, and the names that a promise to one of them goes by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

UNLIMITED = 0
NOT_OBSERVED = "off"


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """0 means unlimited. arms: the only arms this tenant may use (empty: all).

    observe: the arm that serves this tenant while the policy only watches; "" for what the config
    says, NOT_OBSERVED for none.
    """

    requests_per_minute: int = UNLIMITED
    tokens_per_minute: int = UNLIMITED
    daily_usd: float = UNLIMITED
    monthly_usd: float = UNLIMITED
    arms: tuple[str, ...] = ()
    observe: str = ""

    @property
    def spending(self) -> bool:
        """True if there is a limit that a request could exceed."""
        return bool(
            self.requests_per_minute or self.tokens_per_minute or self.daily_usd or self.monthly_usd
        )


@dataclass(frozen=True, slots=True)
class Tenant:
    name: str
    limits: TenantLimits = field(default_factory=TenantLimits)


@dataclass(frozen=True, slots=True)
class Reservation:
    """Quota that was taken in advance; settled exactly once by id.

    held: false where nothing was taken, since nothing is limited; then all is charged at the end.
    """

    id: str
    tenant: str
    tokens: int
    cost_usd: float
    held: bool = True


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
