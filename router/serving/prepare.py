"""The start of a request: which plans it permits at all, and what it can cost at most."""

from __future__ import annotations

from collections.abc import Iterable

from router.domain.cache_key import cache_key
from router.domain.catalog import Catalog, Plan
from router.domain.chat import Usage
from router.domain.eligibility import (
    Constraints,
    Requirements,
    most_cost_usd,
    paid_plans,
    permitted_arms,
    permitted_plans,
)
from router.domain.errors import FieldViolation, InvalidRequest, NoEligiblePlan
from router.domain.records import Mode
from router.domain.requests import RouteRequest
from router.domain.tenants import NOT_OBSERVED, Reservation
from router.serving.request_state import RequestState

TYPICAL_OUTPUT_TOKENS = 512


def open_work(
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
