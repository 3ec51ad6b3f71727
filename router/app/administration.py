"""Who serves, what is known of the others, and commands to the learner."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from bandit.errors import BanditError
from router.adapters.storage import Storage
from router.app.learner_state_factory import LearnerStateFactory
from router.config import Config
from router.config.plain import name_one
from router.config.values import catalog_of, members_of, units_of, weights_of
from router.domain.errors import PolicyUnknown, SnapshotRefused
from router.domain.events import Move, PolicyChanged, PolicyCommand
from router.domain.requests import EvidenceListing, PolicyListing
from router.domain.tenants import TenantUsage
from router.learning.learner_state import LearnerState
from router.ports.state import StoredSnapshot
from router.serving.evidence.buyer import budget_tenant
from router.serving.evidence.outlook import obstacle, outlook, typical_offer
from router.serving.evidence.settings import EvidenceSettings

POLL_S = 0.1


class PolicyAdministration:
    """Implements `router.domain.requests.Administration`."""

    def __init__(self, config: Config, storage: Storage) -> None:
        self._config = config
        self._members = members_of(config)
        self._storage = storage

    async def policies(self) -> PolicyListing:
        stored = await self._storage.snapshots.load()
        changes = await self._storage.policies.changes()
        learned = await asyncio.to_thread(self._learned, stored)
        contest = learned.contest
        return PolicyListing(
            kinds={name: section.name for name, section in self._members.items()},
            champion=learned.champion,
            previous=contest.state.previous if contest else "",
            version=stored.version if stored else 0,
            found=contest.standings() if contest else (),
            changes=changes,
            evidence=await self.evidence(learned),
        )

    async def evidence(self, learned: LearnerState) -> EvidenceListing | None:
        """Returns what evidence there is; None where none is known or bought."""
        ledger, settings = learned.evidence, self._config.evidence
        if settings is None and ledger.is_blank:
            return None
        budget_usd = settings.budget_usd_per_day if settings else 0.0
        used = await self._storage.quota.usage(budget_tenant(budget_usd))
        known = EvidenceListing(
            prompts=int(ledger.prompts),
            gold=ledger.rectifier.gold,
            spent_usd=ledger.spent_usd,
            worth_usd=ledger.worth_usd,
            spent_today_usd=used.daily_usd,
            budget_usd=budget_usd,
            outlook="none is bought: the config has no section evidence",
            calibrated=int(ledger.calibrated),
        )
        return replace(known, outlook=self._outlook(learned, settings, used)) if settings else known

    def _outlook(self, learned: LearnerState, settings: EvidenceSettings, used: TenantUsage) -> str:
        catalog = catalog_of(self._config)
        left_usd = settings.budget_usd_per_day - used.daily_usd
        typical = typical_offer(
            catalog, learned, settings, weights_of(self._config), units_of(self._config, catalog)
        )
        obvious = obstacle(catalog, settings)
        return obvious or outlook(typical, learned.evidence.prompts, left_usd)

    def _learned(self, stored: StoredSnapshot | None) -> LearnerState:
        brain = LearnerStateFactory(self._config, catalog_of(self._config))
        try:
            return brain.restore(stored.payload) if stored else brain.fresh()
        except BanditError as error:
            raise SnapshotRefused(f"the newest snapshot can't be read: {error}") from None

    async def command(
        self, command: PolicyCommand, wait_s: float
    ) -> tuple[str, PolicyChanged | None]:
        if len(self._members) == 1:
            fix = "the config has no challengers: there is nobody to change places with"
            raise PolicyUnknown(fix)
        if command.move is Move.PROMOTED and command.name not in self._members:
            raise PolicyUnknown(name_one("policies", command.name, self._members))
        position = await self._storage.policies.command(command)
        deadline_s = time.monotonic() + wait_s
        while True:
            changes = await self._storage.policies.changes()
            done = next((change for change in changes if change.cause == position), None)
            if done is not None or time.monotonic() >= deadline_s:
                return position, done
            await asyncio.sleep(POLL_S)
