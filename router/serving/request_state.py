"""One request while it is worked on: how it begins, and the record it leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from router.domain import MS_PER_S
from router.domain.catalog import Arm, Catalog, Deployment, Plan
from router.domain.chat import Answer, FinishReason, Usage
from router.domain.conversations import (
    Conversation,
    TurnKeys,
    after_turn,
    application_digest,
    ends_in_tool_results,
    turn_keys,
    turn_number,
    warm_everywhere,
)
from router.domain.eligibility import (
    Constraints,
    Requirements,
    most_cost_usd,
    paid_plans,
    permitted_arms,
    permitted_plans,
)
from router.domain.errors import FieldViolation, InvalidRequest, NoEligiblePlan
from router.domain.logged_context import Said, said_in
from router.domain.records import (
    CachedAnswer,
    CacheKey,
    CacheStatus,
    Choice,
    DecisionRecord,
    Mode,
    TurnFacts,
    session_digest,
)
from router.domain.requests import RouteRequest, cache_key
from router.domain.tenants import NOT_OBSERVED, QuotaLeft, Reservation
from router.ports.state import Health
from router.ports.upstream import Embedding
from router.serving.attempts import PlanRun
from router.serving.earlier_answers import Flight, Hit
from router.serving.request_prices import PriceList


@dataclass(slots=True)
class RequestState:
    """A request under way. needs: its requirements. has_room: what comes of it can be learned.

    plans, arms: what the request permits; an arm may stand in for one that fails. No plans where
    the cost limit pays no arm: only an answer given before will do.
    shadow_plans: what the policy would choose among where it only watches, else empty.
    early_choice: what would be chosen if every plan were well; choice: what was chosen.
    flight: those who ask the same now, this request included; None where it is not shared.
    prices: of this request, as one that begins until the turns before are known.
    refused: by the quota, so nothing is held.
    conversation: the turns before, as far as they are known. knows_asker: the last of them
    answered the last question, or went on with it. after: the turns with this one, once a call has
    answered it. application: see `TurnFacts`.
    turn_keys: by which the turns before are found, and this one is kept.
    locked_to: the deployment that asked for the tools whose results it is sent, where nothing is to
    be chosen; else "".
    said: what it is about, see `said_in`. embedding: of the last user message. said_embedding: of
    all that is said, by which a plan was chosen.
    evidence_share: with which the other arms are asked as well; evidence_usd: what that is worth;
    evidence_arms: which. evidence_labels: whether it scores the answer, be it good or bad.
    deadline_s: the sooner of the caller's deadline and its latency limit; None for neither.
    """

    request: RouteRequest
    mode: Mode
    id: str
    began_s: float
    key: CacheKey
    reservation: Reservation
    needs: Requirements
    plans: tuple[Plan, ...]
    arms: tuple[str, ...]
    shadow_plans: tuple[Plan, ...] = ()
    embedding: Embedding | None = None
    said_embedding: Embedding | None = None
    has_room: bool = True
    hit: Hit | None = None
    flight: Flight | None = None
    early_choice: Choice | None = None
    prices: PriceList | None = None
    choice: Choice | None = None
    run: PlanRun | None = None
    cache: CacheStatus = CacheStatus.MISS
    health: Mapping[str, Health] = field(default_factory=dict)
    quota_left: QuotaLeft = field(default_factory=QuotaLeft)
    refused: bool = False
    conversation: Conversation = field(default_factory=Conversation)
    knows_asker: bool = False
    after: Conversation | None = None
    application: str = ""
    said: Said = ()
    turn_keys: TurnKeys = field(default_factory=TurnKeys)
    locked_to: str = ""
    evidence_share: float = 0.0
    evidence_usd: float = 0.0
    evidence_arms: tuple[str, ...] = ()
    evidence_labels: bool = False

    @property
    def began_ms(self) -> int:
        return int(self.began_s * MS_PER_S)

    def price(self, prices: PriceList) -> None:
        """Expect what the dearest arm charges for this request."""
        self.prices = prices
        expected_usd = max(prices.arms[arm].total_usd for arm in self.arms)
        self.reservation = replace(self.reservation, expected_usd=expected_usd)

    @property
    def is_pinned(self) -> bool:
        """True if the caller names who is to answer."""
        return bool(self.request.options.arm or self.request.plan)

    @property
    def deadline_s(self) -> float | None:
        latency_ms = self.request.options.max_latency_ms
        own_s = None if latency_ms is None else self.began_s + latency_ms / MS_PER_S
        given = [s for s in (own_s, self.request.deadline_s) if s is not None]
        return min(given, default=None)

    @property
    def cache_embedding(self) -> Embedding | None:
        """The key of answers to like prompts; None where only the same request may be answered."""
        return self.embedding if self.key.partition else None

    @property
    def answer(self) -> Answer | None:
        if self.hit is not None:
            return self.hit.cached.answer
        return self.run.answer if self.run else None

    def dearest_usd(self, catalog: Catalog) -> float:
        """Returns what the tokens of its answer cost at the dearest arm that might have given it.

        Tokens of a cache count in full: another arm's would have been cold.
        """
        if self.answer is None:
            return 0.0
        read = self.answer.usage
        usage = Usage(read.input_tokens, read.output_tokens, reasoning_tokens=read.reasoning_tokens)
        known = (catalog.arms[arm].deployments[0].price for arm in self.arms)
        return max(price.cost_usd(usage) for price in known)

    @property
    def is_keepable(self) -> bool:
        """True if others may be given the answer: it passed, and no limit of this caller cut it."""
        run = self.run
        if self.cache is not CacheStatus.MISS or run is None or run.answer is None:
            return False
        if run.gate_session is not None and run.gate_session.is_rejected(run.arm):
            return False
        cut = run.answer.finish_reason is FinishReason.LENGTH
        return run.passed and not (cut and self.request.options.max_cost_usd is not None)

    def may_serve(self, cached: CachedAnswer, catalog: Catalog) -> bool:
        """True if who gave an answer might give it now: limits and models may have changed."""
        if cached.arm not in self.arms:
            return False
        return any(
            d.name == cached.deployment and cached.model in ("", d.model)
            for d in catalog.arms[cached.arm].deployments
        )

    def is_healthy(self, deployment: str) -> bool:
        return self.health.get(deployment, Health.CLOSED) is not Health.OPEN

    def is_plan_healthy(self, catalog: Catalog, plan: Plan) -> bool:
        """True if every rung has a deployment that is well and can serve the request."""
        return all(
            any(self.needs.met_by(d) and self.is_healthy(d.name) for d in arm.deployments)
            for arm in (catalog.arms[rung] for rung in plan.rungs)
        )

    @property
    def asked_tools(self) -> str:
        """The deployment that asked for the tools whose results end the chat; "" for none."""
        is_loop = self.knows_asker and ends_in_tool_results(self.request.chat)
        return self.conversation.last if is_loop else ""

    def lockable(self, catalog: Catalog) -> tuple[str, str] | None:
        """Returns (arm, deployment) of who asked for tools, where it may go on and is well.

        None for a request that names its arm, or whose caller does: there is nothing to lock.
        """
        name, options = self.asked_tools, self.request.options
        if not name or options.arm or self.shadow_plans:
            return None
        for arm in self.arms:
            for deployment in catalog.arms[arm].deployments:
                if deployment.name == name and self._may_go_on(deployment):
                    return arm, name
        return None

    def _may_go_on(self, deployment: Deployment) -> bool:
        is_paid = self.needs.is_paid(deployment, self.request.options.max_cost_usd)
        return is_paid and self.needs.met_by(deployment) and self.is_healthy(deployment.name)

    def pick_deployment(self, run: PlanRun, catalog: Catalog) -> None:
        """Name the deployment a caller of `Decide` is to call."""
        run.arm = run.rungs[0]
        deployments = run.in_order(catalog.arms[run.arm].deployments)
        able = [d.name for d in deployments if self.needs.met_by(d)]
        run.deployment = next((name for name in able if self.is_healthy(name)), able[0])

    def turn_after(self, catalog: Catalog, remember_s: int) -> Conversation | None:
        """Returns the conversation with this turn; None where no call answered it.

        remember_s: how long what was read is carried along.
        """
        run = self.run
        if self.hit is not None or run is None or run.answer is None:
            return None
        known = catalog.by_name
        return after_turn(
            self.conversation,
            known[run.deployment],
            run.attempts,
            self.began_ms,
            number=turn_number(self.conversation, self.turn_keys),
            first=known.get(self.conversation.first),
            remember_s=remember_s,
        )

    def _turn_facts(self, catalog: Catalog) -> TurnFacts:
        spent_usd = sum(a.cost_usd for a in self.run.attempts) if self.run else 0.0
        return TurnFacts(
            application=self.application,
            number=turn_number(self.conversation, self.turn_keys),
            input_bytes=0 if self.needs.images else self.needs.input_bytes,
            warm=warm_everywhere(self.conversation, catalog.deployments(), self.began_ms),
            spent_usd=self.conversation.spent_usd + spent_usd,
            stay_usd=(self.after or self.conversation).stay_usd,
            key=self.turn_keys.own if self.mode is Mode.DECIDE else "",
        )

    def record(self, catalog: Catalog) -> DecisionRecord:
        run, hit, tenant = self.run, self.hit, self.request.tenant.name
        source = hit.cached if hit else run
        deployment = source.deployment if source else ""
        return DecisionRecord(
            id=self.id,
            tenant=tenant,
            created_ms=self.began_ms,
            mode=self.mode,
            session_id=session_digest(tenant, self.request.options.session_id),
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
            turn=self._turn_facts(catalog),
            locked=bool(self.locked_to) and deployment in ("", self.locked_to),
            evidence_share=self.evidence_share,
        )


def open_request(
    request: RouteRequest,
    mode: Mode,
    decision_id: str,
    now_s: float,
    catalog: Catalog,
    *,
    observe: str = "",
    keyed: bool = True,
) -> RequestState:
    """Begin a request. observe: the arm that serves while the policy only watches, or "".

    keyed: whether its answer may be looked up and kept; reading a prompt for its keys takes time.

    Raises InvalidRequest for an unknown arm, NoEligiblePlan when the request rules all out.
    """
    needs, watching = Requirements.of(request.chat), _observed_arm(request, observe)
    constraints = _constraints(request, catalog, watching)
    arms = permitted_arms(catalog, needs, constraints)
    plans = _plans(catalog, arms, mode)
    if request.plan and not watching:
        plans = [plan for plan in plans if plan.name == request.plan]
    if not plans and constraints.pin in arms:
        plans = [_pinned(catalog, constraints.pin)]
    if not plans:
        raise NoEligiblePlan("no plan fits: relax the arm, the tools, the images or the length")
    if mode is not Mode.DECIDE:  # there the caller begins the attempt
        plans = list(paid_plans(catalog, arms, plans, needs, request.options.max_cost_usd))
    bounds = {arm: _bounds(catalog.arms[arm], needs) for arm in arms}
    return RequestState(
        request=request,
        mode=mode,
        id=decision_id,
        began_s=now_s,
        key=_keys(request) if keyed else CacheKey(request.tenant.name, "", ""),
        reservation=_reservation(request, mode, decision_id, needs, arms=bounds, plans=plans),
        needs=needs,
        plans=tuple(plans),
        arms=arms,
        said=said_in(request.chat),
        shadow_plans=_shadow_plans(request, mode, catalog, needs) if watching else (),
        application=application_digest(request.task, request.chat),
        turn_keys=turn_keys(request.tenant.scope, request.chat),
    )


def _keys(request: RouteRequest) -> CacheKey:
    tenant = request.tenant
    return cache_key(tenant.name, request.chat, request.options.weights, tenant.scope)


def _plans(catalog: Catalog, arms: Iterable[str], mode: Mode) -> list[Plan]:
    plans = permitted_plans(catalog, arms)
    return [plan for plan in plans if mode is not Mode.DECIDE or len(plan.rungs) == 1]


def _shadow_plans(
    request: RouteRequest, mode: Mode, catalog: Catalog, needs: Requirements
) -> tuple[Plan, ...]:
    free = Constraints(request.tenant.limits.arms)
    return tuple(_plans(catalog, permitted_arms(catalog, needs, free), mode))


def _observed_arm(request: RouteRequest, default: str) -> str:
    arm = request.tenant.limits.observe or default
    return "" if arm == NOT_OBSERVED else arm


def _constraints(request: RouteRequest, catalog: Catalog, observed: str) -> Constraints:
    pin = request.options.arm
    if pin and pin not in catalog.arms:
        known = ", ".join(sorted(catalog.arms))
        raise InvalidRequest(FieldViolation("routing.arm", f"name one of: {known}"))
    return Constraints(request.tenant.limits.arms, pin or observed)


@dataclass(slots=True)
class _ArmBounds:
    """The most that one arm may write and charge, and the least of its deployments' limits."""

    most_tokens: int
    least_output: int
    most_usd: float


def _bounds(arm: Arm, needs: Requirements) -> _ArmBounds:
    outputs = [needs.most_output(d) for d in arm.deployments if needs.met_by(d)]
    return _ArmBounds(needs.input_tokens + max(outputs), min(outputs), most_cost_usd(arm, needs))


def _reservation(
    request: RouteRequest,
    mode: Mode,
    decision_id: str,
    needs: Requirements,
    *,
    arms: Mapping[str, _ArmBounds],
    plans: Iterable[Plan],
) -> Reservation:
    """Reserve for every tenant, so that nothing is paid before the store knows of it.

    Tokens are those of the longest answer of each arm that a plan calls: failures bring none.
    Nobody renews what a `Decide` holds: its outcome is settled by whichever replica hears of it.
    """
    bounds = tuple(arms.values())
    called = (sum(arms[arm].most_tokens for arm in plan.arms) for plan in plans)
    asked = 0 if needs.output_tokens is None else min(b.least_output for b in bounds)
    return Reservation(
        decision_id,
        request.tenant.name,
        max(called, default=bounds[0].most_tokens),
        _bound_usd(request, mode, [b.most_usd for b in bounds]),
        asked_tokens=needs.input_tokens + asked,
        renewed=mode is not Mode.DECIDE,
    )


def _bound_usd(request: RouteRequest, mode: Mode, costs: Sequence[float]) -> float:
    """Sum up all permitted arms, called in turn at worst; a caller of `Decide` calls one."""
    bound_usd = max(costs) if mode is Mode.DECIDE else sum(costs)
    limit_usd = request.options.max_cost_usd
    return bound_usd if limit_usd is None else min(bound_usd, limit_usd)


def _pinned(catalog: Catalog, arm: str) -> Plan:
    """A pinned arm needs no plan of its own in the config."""
    return Plan(arm, (arm,), catalog.arms[arm].prior_cost_usd)
