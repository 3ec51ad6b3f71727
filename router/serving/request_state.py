"""One request while it is worked on: how it begins, and the record it leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from router.domain.catalog import Catalog, Plan
from router.domain.chat import Answer, Usage
from router.domain.eligibility import (
    Constraints,
    Requirements,
    most_cost_usd,
    paid_plans,
    permitted_arms,
    permitted_plans,
)
from router.domain.errors import FieldViolation, InvalidRequest, NoEligiblePlan
from router.domain.records import CacheKey, CacheStatus, Choice, DecisionRecord, Mode
from router.domain.requests import RouteRequest, cache_key
from router.domain.tenants import NOT_OBSERVED, QuotaLeft, Reservation
from router.ports.state import Health
from router.ports.upstream import Embedding
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
    run: PlanRun | None = None
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
        return self.run.answer if self.run else None

    def healthy(self, deployment: str) -> bool:
        return self.health.get(deployment, Health.CLOSED) is not Health.OPEN

    def well(self, catalog: Catalog, plan: Plan) -> bool:
        """Whether every rung has a deployment that is well and can serve the request."""
        return all(
            any(self.needs.met_by(d) and self.healthy(d.name) for d in arm.deployments)
            for arm in (catalog.arms[rung] for rung in plan.rungs)
        )

    def direct(self, run: PlanRun, catalog: Catalog) -> None:
        """Name the deployment a caller of `Decide` is to call."""
        run.arm = run.rungs[0]
        deployments = catalog.arms[run.arm].deployments
        able = [d.name for d in deployments if self.needs.met_by(d)]
        run.deployment = next((name for name in able if self.healthy(name)), able[0])

    def record(self, catalog: Catalog) -> DecisionRecord:
        run, hit = self.run, self.hit
        source = hit.cached if hit else run
        deployment = source.deployment if source else ""
        return DecisionRecord(
            id=self.id,
            tenant=self.call.tenant.name,
            created_ms=int(self.began_s * MS_PER_S),
            mode=self.mode,
            session_id=self.call.options.session_id,
            choice=self.choice,
            attempts=tuple(run.attempts) if run else (),
            arm=source.arm if source else "",
            deployment=deployment,
            model=catalog.model_of(deployment),
            cache=self.cache,
            similarity=hit.similarity if hit else 0.0,
            cache_exact=hit.cached.exact if hit else self.key.exact,
            cache_partition=self.key.partition,
            settled=self.mode is not Mode.DECIDE,
            judged=run.gate_session.judged if run and run.gate_session else None,
            price=catalog.price_of(deployment) if self.mode is Mode.DECIDE else None,
        )


TYPICAL_OUTPUT_TOKENS = 512


def open_request(
    call: RouteRequest,
    mode: Mode,
    decision_id: str,
    now_s: float,
    catalog: Catalog,
    *,
    observe: str = "",
) -> RequestState:
    """observe: the arm that serves while the policy only watches; "" for none.

    Raises InvalidRequest for an unknown arm, NoEligiblePlan when the request rules all out.
    """
    needs, watching = Requirements.of(call.chat), _observed_arm(call, observe)
    wishes = _wishes(call, catalog, watching)
    arms = permitted_arms(catalog, needs, wishes)
    plans = _plans(catalog, arms, mode)
    if not plans and wishes.pin in arms:
        plans = [_pinned(catalog, wishes.pin, needs)]
    if not plans:
        raise NoEligiblePlan("no plan fits: relax the arm, the tools, the images or the length")
    if mode is not Mode.DECIDE:  # there the caller begins the attempt
        plans = list(paid_plans(catalog, arms, plans, needs, call.options.max_cost_usd))
    costs = [most_cost_usd(catalog.arms[arm], needs) for arm in arms]
    return RequestState(
        call=call,
        mode=mode,
        id=decision_id,
        began_s=now_s,
        key=cache_key(call.tenant.name, call.chat),
        reservation=_reservation(call, mode, decision_id, needs, costs),
        needs=needs,
        plans=tuple(plans),
        arms=arms,
        watched=_watched(call, mode, catalog, needs) if watching else (),
    )


def _plans(catalog: Catalog, arms: Iterable[str], mode: Mode) -> list[Plan]:
    plans = permitted_plans(catalog, arms)
    return [plan for plan in plans if mode is not Mode.DECIDE or len(plan.rungs) == 1]


def _watched(
    call: RouteRequest, mode: Mode, catalog: Catalog, needs: Requirements
) -> tuple[Plan, ...]:
    free = Constraints(call.tenant.limits.arms)
    return tuple(_plans(catalog, permitted_arms(catalog, needs, free), mode))


def _observed_arm(call: RouteRequest, default: str) -> str:
    arm = call.tenant.limits.observe or default
    return "" if arm == NOT_OBSERVED else arm


def _wishes(call: RouteRequest, catalog: Catalog, observed: str) -> Constraints:
    pin = call.options.arm
    if pin and pin not in catalog.arms:
        known = ", ".join(sorted(catalog.arms))
        raise InvalidRequest(FieldViolation("routing.arm", f"name one of: {known}"))
    return Constraints(call.tenant.limits.arms, pin or observed)


def _reservation(
    call: RouteRequest, mode: Mode, decision_id: str, needs: Requirements, costs: Iterable[float]
) -> Reservation:
    """What a caller of `Decide` reports later is settled by whoever hears it, so always held."""
    tenant, bound_usd = call.tenant, _bound_usd(call, mode, costs)
    held = tenant.limits.spending or mode is Mode.DECIDE
    return Reservation(decision_id, tenant.name, _tokens(needs), bound_usd, held)


def _tokens(needs: Requirements) -> int:
    return needs.input_tokens + (needs.output_tokens or TYPICAL_OUTPUT_TOKENS)


def _bound_usd(call: RouteRequest, mode: Mode, costs: Iterable[float]) -> float:
    """At worst every permitted arm is called in turn; a caller of `Decide` calls one."""
    bound_usd = max(costs) if mode is Mode.DECIDE else sum(costs)
    limit_usd = call.options.max_cost_usd
    return bound_usd if limit_usd is None else min(bound_usd, limit_usd)


def _pinned(catalog: Catalog, arm: str, needs: Requirements) -> Plan:
    """A pinned arm needs no plan of its own in the config."""
    first = catalog.arms[arm].deployments[0]
    usage = Usage(needs.input_tokens, TYPICAL_OUTPUT_TOKENS)
    return Plan(arm, (arm,), first.price.cost_usd(usage))
