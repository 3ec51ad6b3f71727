"""Buys evidence: of requests drawn with a logged probability, every other arm is asked as well.

Everything is paid by a budget of its own, which all routers share in the store, and nothing before
the store holds it: a router that dies has its reservation charged, and one that is stopped writes
down what it has paid for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Final

from bandit.types import Units
from router.domain import MS_PER_S
from router.domain.catalog import Catalog
from router.domain.eligibility import most_cost_usd
from router.domain.errors import Overloaded, QuotaExceeded, RouterError, StorageUnavailable
from router.domain.events import is_drawn
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
from router.serving.evidence.purchase import Purchase, together
from router.serving.evidence.scorers import AnswerScorer
from router.serving.evidence.settings import EvidenceSettings
from router.serving.request_state import RequestState

BUDGET_TENANT: Final = "#evidence"
"""The name whose daily budget bounds all evidence together; no tenant can have it."""
WAITING: Final = 64
"""Purchases that wait for their turn."""
TENANT_SHARE: Final = 0.75
MOST_FAILURES: Final = 3
"""Purchases in a row that nothing could be learned of, after which none is made for a while."""
PAUSE_S: Final = 60.0
LONGEST_PAUSE_S: Final = 3_600.0


class Wish(StrEnum):
    """Why evidence is bought of a request, or not."""

    BUYS = "buys"
    NOT_WORTH = "not_worth"
    NO_BUDGET = "no_budget"
    BUSY = "busy"
    PAUSED = "paused"
    OPTED_OUT = "opted_out"
    UNFIT = "unfit"
    NO_OTHERS = "no_others"


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
        self._clock = clock
        self._settings = settings
        self._budget = budget_tenant(settings.budget_usd_per_day)
        self._offers = Offers(catalog, decider, scorer, units, settings)
        self._waiting = FairShares(WAITING, share=TENANT_SHARE)
        self._queue = FairQueue(
            FairShares(settings.at_once, share=_share_of_one(settings.at_once)), self._waiting
        )
        self._off_until_s = 0.0
        self._off = Wish.NO_BUDGET
        self._failures = 0

    def weigh(self, state: RequestState) -> None:
        """Set the probability with which evidence is bought of a request, before it is answered."""
        wish = self._refusal(state)
        if wish is None and state.choice is not None:
            offer = self._offers.of(state, state.choice)
            state.evidence_arms, state.evidence_share = offer.arms, offer.share
            state.evidence_usd = offer.worth_usd
            wish = Wish.BUYS if offer.share else Wish.NOT_WORTH
        self._observer.evidence_wish(wish or Wish.UNFIT, state.evidence_share)

    def maybe_buy(self, state: RequestState, audit_share: Callable[[], float]) -> bool:
        """Returns True, and goes on in the background, where it is bought of this decision.

        audit_share: with which the answer is audited where that is not so.
        """
        run = state.run
        if not state.evidence_share or run is None or run.answer is None:
            return False
        arms = [arm for arm in state.evidence_arms if arm != run.arm]
        if not arms or not self._scorer.takes(state.request.chat, run.answer):
            state.evidence_share = 0.0  # nobody had scored it, drawn or not
            return False
        if not is_drawn(state.id, state.evidence_share):
            return False
        others = {arm: self._run(state, arm) for arm in arms}
        purchase = Purchase(state, run.arm, others, audit_share(), state.evidence_usd)
        self._background.spare(self._buy(purchase))
        return True

    def _refusal(self, state: RequestState) -> Wish | None:
        """Returns why a request is not even weighed."""
        if self._is_opted_out(state):
            return Wish.OPTED_OUT
        if state.choice is None or not self._scorer.fits(state.request.chat):
            return Wish.UNFIT
        if len(self._offers.arms(state)) < 2 or not self._offers.is_well(state):  # noqa: PLR2004 - to compare
            return Wish.NO_OTHERS
        if self._clock() < self._off_until_s:
            return self._off
        return None if self._waiting.fits(state.request.tenant.name, 1) else Wish.BUSY

    def _is_opted_out(self, state: RequestState) -> bool:
        tenant, named = state.request.tenant, self._settings.tenants
        refused = tenant.limits.evidence == "no" or state.request.no_evidence
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
        held = Reservation(f"{purchase.id}#evidence", BUDGET_TENANT, 0, self._most_usd(purchase))
        try:
            await self._admission.reserve(self._budget, held)
        except QuotaExceeded as error:
            wait_s = error.retry_after_ms / MS_PER_S if error.retryable else LONGEST_PAUSE_S
            self._pause(Wish.NO_BUDGET, wait_s)
            self._observer.evidence("no_budget", 0.0)
            return
        except StorageUnavailable:
            self._pause(Wish.PAUSED, PAUSE_S)
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

        async def call(run: PlanRun) -> None:
            purchase.calls.append(run)
            run.tenant = BUDGET_TENANT
            async for _ in self._cascade.run(run):
                pass  # nobody reads along

        try:
            async with asyncio.timeout(self._settings.timeout_ms / MS_PER_S):
                await together(map(call, purchase.others.values()))
                scored = await self._scorer.scores(chat, tenant, purchase.answers, call)
                purchase.scores.update(scored)
        except TimeoutError:
            return "late"
        return "bought" if len(purchase.scores) > 1 else "unscored"

    async def _close(self, purchase: Purchase, held: Reservation, result: str) -> None:
        """Record what came of it, then charge it; a crash in between charges the reservation."""
        cost_usd = purchase.cost_usd
        for attempt in purchase.attempts:
            self._observer.attempt(attempt, BUDGET_TENANT)
        self._observer.evidence(result, cost_usd)
        self._note(result)
        try:
            if cost_usd or purchase.scores:
                event = purchase.event(self._scorer.source, self._offers.terms)
                with suppress(RouterError):
                    await self._background.insist(
                        lambda: self._decisions.evidence(event), event, SETTLE_S
                    )
        finally:
            await self._admission.settle(held, 0, cost_usd)

    def _most_usd(self, purchase: Purchase) -> float:
        needs, arms = purchase.state.needs, purchase.others
        asked = sum(most_cost_usd(self._catalog.arms[arm], needs) for arm in arms)
        return asked + self._scorer.most_usd(purchase.state.request.chat, len(arms) + 1)

    def _note(self, result: str) -> None:
        """Leave a scorer that tells nothing alone for a while, longer from time to time."""
        if result == "bought":
            self._failures = 0
        elif result in ("unscored", "late"):
            self._failures += 1
            over = self._failures - MOST_FAILURES
            if over >= 0:
                self._pause(Wish.PAUSED, min(LONGEST_PAUSE_S, PAUSE_S * 2**over))

    def _pause(self, why: Wish, wait_s: float) -> None:
        self._off, self._off_until_s = why, self._clock() + wait_s


def _share_of_one(places: int) -> float:
    """Returns the share that lets one tenant alone have all places but one, if there are more."""
    return 1.0 if places == 1 else 1 - 1 / places
