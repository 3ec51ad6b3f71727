"""Buys evidence: of requests drawn with a logged probability, every other arm is asked as well.

Everything is paid by a budget of its own, which all routers share in the store, and nothing before
the store holds it: a router that dies has its reservation charged, and one that is stopped writes
down what it has paid for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

from bandit.types import Units
from router.domain import MS_PER_S
from router.domain.catalog import Catalog
from router.domain.chat import ChatRequest
from router.domain.eligibility import Requirements, most_cost_usd
from router.domain.errors import Overloaded, QuotaExceeded, RouterError, StorageUnavailable
from router.domain.events import EvidenceSource, is_drawn
from router.domain.tenants import Reservation, Tenant, TenantLimits
from router.ports import Clock
from router.ports.learning_log import DecisionLog
from router.ports.observer import Observer
from router.runtime.background import SETTLE_S, Background
from router.runtime.fair_queue import FairQueue, FairShares
from router.serving.admission import Admission
from router.serving.attempts import PlanRun
from router.serving.cascade import Cascade
from router.serving.decider import Decider
from router.serving.evidence.offers import Offers
from router.serving.evidence.pauses import LONGEST_PAUSE_S, PAUSE_S, Pauses, Wish
from router.serving.evidence.purchase import Purchase, together
from router.serving.evidence.scorers import AnswerScorer
from router.serving.evidence.settings import EvidenceSettings
from router.serving.evidence.worth import Offer
from router.serving.request_state import RequestState

BUDGET_TENANT: Final = "#evidence"
"""The name whose daily budget bounds all evidence together; no tenant can have it."""
WAITING: Final = 64
"""Purchases that wait for their turn."""
TENANT_SHARE: Final = 0.75
ARMS_PART: Final = 0.75
"""Part of the time for a purchase that arms have: what they answer in it is paid and scored."""


def budget_tenant(budget_usd_per_day: float) -> Tenant:
    """Returns who pays for evidence; never from an allowance while the store is away."""
    return Tenant(BUDGET_TENANT, TenantLimits(daily_usd=budget_usd_per_day, degraded="no"))


class EvidenceBuyer:
    """Weighs each request before its plan is carried out, and buys after its answer is on record.

    clock: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        cascade: Cascade,
        admission: Admission,
        decisions: DecisionLog,
        decider: Decider,
        scorer: AnswerScorer,
        background: Background,
        observer: Observer,
        clock: Clock,
        units: Units,
        settings: EvidenceSettings,
    ) -> None:
        self._catalog = catalog
        self._cascade = cascade
        self._admission = admission
        self._decisions = decisions
        self._scorer = scorer
        self._background = background
        self._observer = observer
        self._settings = settings
        self._budget = budget_tenant(settings.budget_usd_per_day)
        self._offers = Offers(catalog, decider, scorer, units, settings)
        self._waiting = FairShares(WAITING, share=TENANT_SHARE)
        self._queue = FairQueue(
            FairShares(settings.at_once, share=_share_of_one(settings.at_once)), self._waiting
        )
        self._pauses = Pauses(clock)

    def weigh(self, state: RequestState) -> None:
        """Set the probability with which evidence is bought of a request, before it is answered."""
        wish = self._refusal(state)
        if wish is None and state.choice is not None:
            offer = self._offers.of(state, state.choice)
            wish = self._objection(state, offer)
            if wish is None:
                state.evidence_arms, state.evidence_share = offer.arms, offer.share
                state.evidence_usd, wish = offer.worth_usd, Wish.BUYS
                state.evidence_labels = self._scorer.source is not EvidenceSource.AGREEMENT
        self._observer.evidence_wish(wish or Wish.UNFIT, state.evidence_share)

    def maybe_buy(self, state: RequestState, audit_share: Callable[[], float]) -> bool:
        """Buy of this decision in the background, if it is drawn.

        Returns True where that labels its answer in an audit's place. audit_share: with which it is
        audited otherwise.
        """
        run = state.run
        if not state.evidence_share or run is None or run.answer is None:
            return False
        arms = [arm for arm in state.evidence_arms if arm != run.arm]
        if not self._can_tell(arms) or not self._scorer.takes(state.request.chat, run.answer):
            state.evidence_share = 0.0  # nobody had scored it, drawn or not
            return False
        if not is_drawn(state.id, state.evidence_share):
            return False
        others = {arm: self._run(state, arm) for arm in arms}
        share = audit_share() if state.evidence_labels else 0.0
        self._background.spare(
            self._buy(Purchase(state, run.arm, others, share, state.evidence_usd))
        )
        return state.evidence_labels

    def _refusal(self, state: RequestState) -> Wish | None:
        """Returns why a request is not even weighed."""
        if self._is_opted_out(state):
            return Wish.OPTED_OUT
        if state.choice is None or not self._scorer.fits(state.request.chat):
            return Wish.UNFIT
        arms = self._offers.arms(state)
        if len(arms) < self._scorer.fewest or not self._offers.is_well(state):
            return Wish.NO_OTHERS
        if self._pauses.is_on:
            return Wish.PAUSED
        return None if self._waiting.fits(state.request.tenant.name, 1) else Wish.BUSY

    def _objection(self, state: RequestState, offer: Offer) -> Wish | None:
        """Returns why what is on offer is not bought."""
        if not offer.share:
            return Wish.NOT_WORTH
        if not self._can_tell(offer.arms):
            return Wish.NO_OTHERS
        if not self._pauses.is_poor:
            return None
        most_usd = self._most_usd(state.request.chat, state.needs, offer.arms)
        return Wish.NO_BUDGET if self._pauses.is_too_dear(most_usd) else None

    def _can_tell(self, others: Collection[str]) -> bool:
        return bool(others) and len(others) + 1 >= self._scorer.fewest

    def _is_opted_out(self, state: RequestState) -> bool:
        """A judge sees the prompt as well: none of a tenant that may not use it."""
        tenant, named = state.request.tenant, self._settings.tenants
        refused = tenant.limits.evidence == "no" or state.request.no_evidence
        judge, allowed = self._settings.judge, tenant.limits.arms
        refused = refused or bool(judge and allowed and judge not in allowed)
        return refused or bool(named and tenant.name not in named)

    def _run(self, state: RequestState, arm: str) -> PlanRun:
        """No deadline but the deployments' own: what ends the purchase cancels it."""
        return PlanRun(state.request.chat, state.needs, (arm,), health=state.health)

    async def _buy(self, purchase: Purchase) -> None:
        tenant = purchase.state.request.tenant.name
        try:
            async with asyncio.timeout(self._settings.timeout_ms / MS_PER_S):
                await self._queue.take(tenant, 1)
        except (Overloaded, TimeoutError):
            self._observer.evidence("busy", 0.0)
            return
        try:
            if self._background.stopping:
                self._observer.evidence("cancelled", 0.0)
            else:
                await self._within_budget(purchase)
        finally:
            self._queue.give_back(tenant, 1)

    async def _within_budget(self, purchase: Purchase) -> None:
        state = purchase.state
        most_usd = self._most_usd(state.request.chat, state.needs, purchase.others)
        held = Reservation(f"{purchase.id}#evidence", BUDGET_TENANT, 0, most_usd)
        try:
            await self._admission.reserve(self._budget, held)
        except QuotaExceeded as error:
            wait_s = error.retry_after_ms / MS_PER_S if error.retryable else LONGEST_PAUSE_S
            self._pauses.refuse(most_usd, wait_s)
            self._observer.evidence("no_budget", 0.0)
            return
        except StorageUnavailable:
            self._pauses.begin(PAUSE_S)
            self._observer.evidence("no_budget", 0.0)
            return
        result = "cancelled"
        try:
            result = await self._ask(purchase)
        finally:
            # Also where it is cancelled: what was paid is recorded and charged.
            await self._close(purchase, held, result)

    async def _ask(self, purchase: Purchase) -> str:
        """Returns what came of it: bought | unscored | late."""
        chat, tenant = purchase.state.request.chat, purchase.state.request.tenant.name

        limit_s = self._settings.timeout_ms / MS_PER_S
        late: list[PlanRun] = []

        async def call(run: PlanRun) -> None:
            purchase.calls.append(run)
            run.tenant = BUDGET_TENANT
            async for _ in self._cascade.run(run):
                pass  # nobody reads along

        async def ask(run: PlanRun) -> None:
            try:
                async with asyncio.timeout(limit_s * ARMS_PART):
                    await call(run)
            except TimeoutError:
                late.append(run)

        try:
            async with asyncio.timeout(limit_s):
                await together(map(ask, purchase.others.values()))
                scored = await self._scorer.scores(chat, tenant, purchase.answers, call)
                purchase.scores.update(scored)
        except TimeoutError:
            return "late"
        if late:
            return "late"
        return "bought" if len(purchase.scores) > 1 else "unscored"

    async def _close(self, purchase: Purchase, held: Reservation, result: str) -> None:
        """Record what came of it, then charge it; a crash in between charges the reservation."""
        cost_usd = purchase.cost_usd
        for attempt in purchase.attempts:
            self._observer.attempt(attempt, BUDGET_TENANT)
        self._observer.evidence(result, cost_usd)
        self._pauses.note(result)
        try:
            if cost_usd or purchase.scores:
                event = purchase.event(self._scorer.source, self._offers.terms)
                with suppress(RouterError):
                    await self._background.insist(
                        lambda: self._decisions.evidence(event), event, SETTLE_S
                    )
        finally:
            await self._admission.settle(held, 0, cost_usd)

    def _most_usd(self, chat: ChatRequest, needs: Requirements, others: Collection[str]) -> float:
        asked = sum(most_cost_usd(self._catalog.arms[arm], needs) for arm in others)
        return asked + self._scorer.most_usd(chat, len(others) + 1)


def _share_of_one(places: int) -> float:
    """Returns the share that lets one tenant alone have all places but one, if there are more."""
    return 1.0 if places == 1 else 1 - 1 / places
