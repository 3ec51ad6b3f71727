"""Settings of degraded serving; the config's section `degraded`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le

from router.domain.bounds import Count, Share


@dataclass(frozen=True, slots=True)
class DegradedSettings:
    """Serving on while Redis is away, and the local spool for what could not be written."""

    serve: bool = True
    """Serve tenants without a daily or monthly budget while Redis is away, and those that are set
    so (`tenant limit NAME --degraded yes`); with `no` every caller is refused then."""
    spool_dir: Path | None = None
    """Directory of the spool; unset: beside the data of the private server, or in the user's data
    directory. One that is named must be writable, else the router does not start."""
    spool_bytes: Annotated[int, Ge(1 << 20), Le(1 << 40)] = 64 << 20
    """Size of the spool; a full one refuses requests before anything is paid."""
    tenant_share: Annotated[float, Gt(0), Le(1)] = 0.5
    """Greatest share of the spool that one tenant's entries take."""
    remember_keys_s: Annotated[int, Ge(1), Le(86_400)] = 900
    """How long a key that was seen is accepted while Redis is away."""
    remember_decisions: Count = 50_000
    """Decisions of this router that feedback is taken on while Redis is away, the newest."""
    allowance_share: Share = 0.01
    """Share of a tenant's smaller budget that each router holds ahead, to be spent while Redis is
    away; only for tenants with a budget that may be served then. A request that could cost more is
    refused."""
    rate_share: Annotated[float, Gt(0), Le(1)] = 1.0
    """Share of a tenant's limits per minute that each router allows while Redis is away."""
