"""Settings of evidence: what it may cost, and who scores answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from router.domain.bounds import Few, Milliseconds, Share, Tenants


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSettings:
    """Evidence bought on live traffic: of some requests every arm's answer is had and scored."""

    budget_usd_per_day: Annotated[float, Gt(0), Le(1e6)]
    """Bound on what it costs in a UTC day, judging included, whatever replicas there are. No tenant
    pays for it."""
    source: Literal["judge", "verifier", "agreement"] = "agreement"
    """Who scores the answers: `verifier` (that of `judging`), `judge` (an arm grades each by
    itself), or `agreement` (closed answers alone: what most arms say is right)."""
    judge: str = ""
    """Arm that grades, with `source: judge`."""
    share: Share = 1.0
    """Greatest share of requests that it is bought of: in the first hundred, and after a change.
    Later it falls, to 0 where one more prompt is worth less than it costs."""
    horizon_days: Annotated[float, Ge(0.01), Le(365)] = 7.0
    """Days of traffic that what is learned is taken to be of use for."""
    timeout_ms: Milliseconds = 60_000
    """Longest time for all calls of one request, from their beginning."""
    at_once: Few = 4
    """Requests that it is bought of at the same time in a router."""
    tenants: Tenants = ()
    """Tenants whose prompts are asked of other arms; empty for all but those that opted out."""
