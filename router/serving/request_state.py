"""One request while it is worked on, and the record it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from router.domain.catalog import Catalog, Plan
from router.domain.chat import Answer
from router.domain.eligibility import Requirements
from router.domain.records import CacheKey, CacheStatus, Choice, DecisionRecord, Mode
from router.domain.requests import RouteRequest
from router.domain.tenants import QuotaLeft, Reservation
from router.ports.ports import Embedding, Health
from router.serving.attempts import PlanRun
from router.serving.response_cache import Hit

MS_PER_S = 1_000


@dataclass(slots=True)
class RequestState:
    """needs: of the request. has_room: what comes of it can be learned.

    plans, arms: what the request permits; an arm may stand in for one that fails. No plans where
    the cost limit pays no arm: only an answer given before will do.
    watched: what the policy would choose among where it only watches, else empty.
    whole: the embedding is of all of the prompt.
    foreseen: what would be chosen if every plan were well; choice: what was chosen.
    refused: by the quota, so nothing is held.
    deadline_s: the sooner of the caller's deadline and its latency limit; None for neither.
    """

    call: RouteRequest
    mode: Mode
    id: str
    began_s: float
    key: CacheKey
    reservation: Reservation
    needs: Requirements
    plans: tuple[Plan, ...]
    arms: tuple[str, ...]
    watched: tuple[Plan, ...] = ()
    embedding: Embedding | None = None
    whole: bool = False
    has_room: bool = True
    hit: Hit | None = None
    foreseen: Choice | None = None
    choice: Choice | None = None
    journey: PlanRun | None = None
    cache: CacheStatus = CacheStatus.MISS
    health: Mapping[str, Health] = field(default_factory=dict)
    quota_left: QuotaLeft = field(default_factory=QuotaLeft)
    refused: bool = False

    @property
    def deadline_s(self) -> float | None:
        latency_ms = self.call.options.max_latency_ms
        own_s = None if latency_ms is None else self.began_s + latency_ms / MS_PER_S
        given = [s for s in (own_s, self.call.deadline_s) if s is not None]
        return min(given, default=None)

    @property
    def likeness(self) -> Embedding | None:
        """What finds answers to like prompts: a prompt that was seen in part may differ beyond."""
        return self.embedding if self.whole else None

    @property
    def answer(self) -> Answer | None:
        if self.hit is not None:
            return self.hit.cached.answer
        return self.journey.answer if self.journey else None

    def healthy(self, deployment: str) -> bool:
        return self.health.get(deployment, Health.CLOSED) is not Health.OPEN

    def well(self, catalog: Catalog, plan: Plan) -> bool:
        """Whether every rung has a deployment that is well and can serve the request."""
        return all(
            any(self.needs.met_by(d) and self.healthy(d.name) for d in arm.deployments)
            for arm in (catalog.arms[rung] for rung in plan.rungs)
        )

    def direct(self, journey: PlanRun, catalog: Catalog) -> None:
        """Name the deployment a caller of `Decide` is to call."""
        journey.arm = journey.rungs[0]
        deployments = catalog.arms[journey.arm].deployments
        able = [d.name for d in deployments if self.needs.met_by(d)]
        journey.deployment = next((name for name in able if self.healthy(name)), able[0])

    def record(self, catalog: Catalog) -> DecisionRecord:
        journey, hit = self.journey, self.hit
        source = hit.cached if hit else journey
        deployment = source.deployment if source else ""
        return DecisionRecord(
            id=self.id,
            tenant=self.call.tenant.name,
            created_ms=int(self.began_s * MS_PER_S),
            mode=self.mode,
            session_id=self.call.options.session_id,
            choice=self.choice,
            attempts=tuple(journey.attempts) if journey else (),
            arm=source.arm if source else "",
            deployment=deployment,
            model=catalog.model_of(deployment),
            cache=self.cache,
            similarity=hit.similarity if hit else 0.0,
            cache_exact=hit.cached.exact if hit else self.key.exact,
            cache_partition=self.key.partition,
            settled=self.mode is not Mode.DECIDE,
            judged=journey.stepper.judged if journey and journey.stepper else None,
            price=catalog.price_of(deployment) if self.mode is Mode.DECIDE else None,
        )
