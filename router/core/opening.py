"""The start of a request: which plans it permits at all, and what it can cost at most."""

from __future__ import annotations

from router.core.arms import Catalogue, Plan
from router.core.cachekey import cache_key
from router.core.calls import Call
from router.core.chat import Usage
from router.core.eligible import Wishes, permitted_plans, worst_cost_usd
from router.core.errors import FieldViolation, InvalidRequest, NoEligiblePlan
from router.core.records import Mode
from router.core.tenants import Reservation
from router.core.work import Work

TYPICAL_OUTPUT_TOKENS = 512


def open_work(call: Call, mode: Mode, decision_id: str, now_s: float, catalogue: Catalogue) -> Work:
    """Raises InvalidRequest for an unknown arm, NoEligiblePlan when the request rules all out."""
    options, chat, tenant = call.options, call.chat, call.tenant
    wishes = Wishes(tenant.limits.arms, options.arm)
    plans = _candidates(catalogue, call, mode, wishes)
    if not plans:
        raise NoEligiblePlan(
            "no plan fits: relax the arm, the cost limit, the tools, images or length"
        )
    tokens = chat.estimated_input_tokens
    tokens += chat.sampling.max_output_tokens or TYPICAL_OUTPUT_TOKENS
    cost_usd = worst_cost_usd(catalogue, chat, wishes)
    if options.max_cost_usd is not None:
        cost_usd = min(cost_usd, options.max_cost_usd)
    return Work(
        call=call,
        mode=mode,
        id=decision_id,
        began_s=now_s,
        key=cache_key(tenant.name, chat),
        reservation=Reservation(decision_id, tenant.name, tokens, cost_usd),
        plans=tuple(plans),
        wishes=wishes,
    )


def _candidates(catalogue: Catalogue, call: Call, mode: Mode, wishes: Wishes) -> list[Plan]:
    plans = permitted_plans(catalogue, call.chat, wishes)
    pin = call.options.arm
    if pin and pin not in catalogue.arms:
        known = ", ".join(sorted(catalogue.arms))
        raise InvalidRequest(FieldViolation("routing.arm", f"name one of: {known}"))
    if pin and not plans:
        return _pinned(catalogue, call, wishes)
    return [p for p in plans if len(p.rungs) == 1] if mode is Mode.DECIDE else plans


def _pinned(catalogue: Catalogue, call: Call, wishes: Wishes) -> list[Plan]:
    """A pinned arm needs no plan of its own in the config."""
    first = catalogue.arms[wishes.pin].deployments[0]
    usage = Usage(call.chat.estimated_input_tokens, TYPICAL_OUTPUT_TOKENS)
    plan = Plan(wishes.pin, (wishes.pin,), first.price.cost_usd(usage))
    only = Catalogue(catalogue.arms, {plan.name: plan}, catalogue.fallback)
    return permitted_plans(only, call.chat, wishes)
