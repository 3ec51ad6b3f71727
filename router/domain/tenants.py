"""Who asks, and how much they may spend."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

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
        """Whether there is any that a request could exceed."""
        return bool(
            self.requests_per_minute or self.tokens_per_minute or self.daily_usd or self.monthly_usd
        )


@dataclass(frozen=True, slots=True)
class Tenant:
    name: str
    limits: TenantLimits = field(default_factory=TenantLimits)


@dataclass(frozen=True, slots=True)
class Reservation:
    """What was taken in advance; settled exactly once by id.

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
