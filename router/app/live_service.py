"""What serves now; when it is exchanged, calls under way stay with what they began with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from router.domain.chat import Delta
from router.domain.records import DecisionRecord, FeedbackReport, OutcomeReport
from router.domain.requests import Completion, Directive, OutcomeReceipt, RouteRequest, Service
from router.domain.tenants import Tenant
from router.runtime.probe import wait
from router.serving.snapshot_follower import SnapshotFollower


@dataclass(frozen=True, slots=True)
class Serving:
    """deployments: their names. follower: of the policy that `service` asks."""

    service: Service
    follower: SnapshotFollower
    deployments: list[str]


class Front:
    """Implements `Service` and `Loop` by what serves now."""

    def __init__(self, serving: Serving, poll_ms: int) -> None:
        self.now = serving
        self._poll_s = poll_ms / 1_000

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the snapshots."""
        while not stop.is_set():
            await self.now.follower.turn()
            await wait(stop, self._poll_s)

    async def check(self) -> None:
        """Raises SnapshotRefused while the newest snapshot is one that was refused."""
        await self.now.follower.check()

    async def authenticate(self, api_key: str) -> Tenant:
        return await self.now.service.authenticate(api_key)

    async def complete(self, call: RouteRequest) -> Completion:
        return await self.now.service.complete(call)

    def stream(self, call: RouteRequest) -> AsyncGenerator[Delta | Completion]:
        return self.now.service.stream(call)

    async def decide(self, call: RouteRequest) -> Directive:
        return await self.now.service.decide(call)

    async def report_outcome(
        self, tenant: Tenant, decision_id: str, report: OutcomeReport
    ) -> OutcomeReceipt:
        return await self.now.service.report_outcome(tenant, decision_id, report)

    async def feedback(self, tenant: Tenant, decision_id: str, report: FeedbackReport) -> bool:
        return await self.now.service.feedback(tenant, decision_id, report)

    async def decision(self, tenant: Tenant, decision_id: str) -> DecisionRecord:
        return await self.now.service.decision(tenant, decision_id)
