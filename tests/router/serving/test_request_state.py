"""Cost is reserved, and plans are ruled out, before anything is spent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.catalog import Arm, Catalog, Deployment, Plan, Price
from router.domain.chat import ChatRequest, ImagePart, Message, Role, Sampling, TextPart
from router.domain.errors import InvalidRequest, NoEligiblePlan
from router.domain.records import Mode, session_digest
from router.domain.requests import RouteRequest, RoutingOptions
from router.domain.tenants import Reservation, Tenant, TenantLimits
from router.learning.request_rates import RequestRates
from router.serving.request_prices import PricedRequest, RequestPrices
from router.serving.request_state import open_request

LOW = Deployment("low", "openai", "http://h", "m", Price(0, 1))
HIGH = Deployment("high", "openai", "http://h", "m", Price(0, 10))
CATALOGUE = Catalog(
    arms={"cheap": Arm("cheap", (LOW,)), "reasoning": Arm("reasoning", (HIGH,))},
    plans={"ladder": Plan("ladder", ("cheap", "reasoning"), 0.01)},
)
ASK = ChatRequest(
    (Message(Role.USER, (TextPart("hi"),)),), sampling=Sampling(max_output_tokens=1_000)
)
CALL = RouteRequest(Tenant("acme"), ASK)


def reserved_usd(request: RouteRequest, mode: Mode, catalog: Catalog = CATALOGUE) -> float:
    return open_request(request, mode, "d-1", 0.0, catalog).reservation.cost_usd


def test_reservation_covers_every_arm() -> None:
    assert reserved_usd(CALL, Mode.COMPLETE) == pytest.approx(0.011)
    limited = replace(CALL, options=RoutingOptions(max_cost_usd=0.002))
    assert reserved_usd(limited, Mode.COMPLETE) == pytest.approx(0.002)
    pinned = replace(CALL, options=RoutingOptions(arm="cheap"))
    assert reserved_usd(pinned, Mode.STREAM) == pytest.approx(0.001)


def test_reservation_covers_one_arm_when_the_caller_decides() -> None:
    singles = {arm: Plan(arm, (arm,), 0.01) for arm in CATALOGUE.arms}
    assert reserved_usd(CALL, Mode.DECIDE, replace(CATALOGUE, plans=singles)) == pytest.approx(0.01)


SINGLES = {arm: Plan(arm, (arm,), 0.01) for arm in CATALOGUE.arms}
LADDER = replace(CATALOGUE, plans={**CATALOGUE.plans, **SINGLES})


@pytest.mark.parametrize(
    ("pin", "own", "configured", "serves", "watched"),
    [
        ("", "", "", ["ladder", "cheap", "reasoning"], []),
        ("", "", "reasoning", ["reasoning"], ["ladder", "cheap", "reasoning"]),
        ("cheap", "", "reasoning", ["cheap"], ["ladder", "cheap", "reasoning"]),
        ("", "cheap", "reasoning", ["cheap"], ["ladder", "cheap", "reasoning"]),
        ("", "off", "reasoning", ["ladder", "cheap", "reasoning"], []),
        ("cheap", "off", "reasoning", ["cheap"], []),
    ],
)
def test_open_request_serves_the_observed_arm_when_the_policy_watches(
    pin: str, own: str, configured: str, serves: list[str], watched: list[str]
) -> None:
    request = RouteRequest(Tenant("acme", TenantLimits(observe=own)), ASK, RoutingOptions(arm=pin))
    state = open_request(request, Mode.COMPLETE, "d-1", 0.0, LADDER, observe=configured)
    assert [plan.name for plan in state.plans] == serves
    assert [plan.name for plan in state.shadow_plans] == watched
    assert set(state.arms) == {arm for plan in state.plans for arm in plan.rungs}


def test_shadow_plans_have_one_arm_when_the_caller_decides() -> None:
    state = open_request(CALL, Mode.DECIDE, "d-1", 0.0, LADDER, observe="cheap")
    assert [plan.name for plan in state.shadow_plans] == ["cheap", "reasoning"]


def reserved(request: RouteRequest, mode: Mode = Mode.COMPLETE) -> Reservation:
    return open_request(request, mode, "d-1", 0.0, LADDER).reservation


def test_reservation_is_renewed_by_the_router_that_answers_only() -> None:
    assert reserved(CALL).renewed
    assert reserved(CALL, Mode.STREAM).renewed
    assert not reserved(CALL, Mode.DECIDE).renewed


def test_reservation_holds_all_tokens_a_plan_may_bring() -> None:
    """The ladder asks two arms; without a wish of the caller each may answer at its longest."""
    most = ASK.estimated_input_tokens + 1_000
    assert reserved(CALL).tokens == 2 * most
    assert reserved(CALL, Mode.DECIDE).tokens == most
    assert reserved(CALL).asked_tokens == most
    free = reserved(replace(CALL, chat=replace(ASK, sampling=Sampling())))
    assert free.tokens == 2 * (ASK.estimated_input_tokens + LOW.max_output_tokens)
    assert free.asked_tokens == ASK.estimated_input_tokens


def expected_usd(request: RouteRequest, catalog: Catalog, rates: RequestRates) -> float | None:
    state = open_request(request, Mode.COMPLETE, "d-1", 0.0, catalog)
    state.price(RequestPrices(catalog, 400).of(PricedRequest(state.needs), rates))
    return state.reservation.expected_usd


def test_what_is_expected_is_one_typical_answer_of_the_dearest_arm() -> None:
    assert expected_usd(CALL, LADDER, RequestRates()) == pytest.approx(0.004)
    pinned = replace(CALL, options=RoutingOptions(arm="cheap"))
    assert expected_usd(pinned, LADDER, RequestRates()) == pytest.approx(0.0004)


@pytest.mark.parametrize("tokens", [25_000, 50_000, 100_000])
def test_a_long_request_is_expected_to_cost_its_own_price(tokens: int) -> None:
    """By the tokens that were charged for so many bytes before, and never more than is reserved."""
    reader = replace(HIGH, price=Price(10, 10), context_window_tokens=1_000_000)
    catalog = replace(LADDER, arms={**LADDER.arms, "reasoning": Arm("reasoning", (reader,))})
    rates = RequestRates({"deployments": [["high", 1e9 * tokens, 1e14, 0, 0, 0, 0]]})
    long = ChatRequest((Message(Role.USER, (TextPart("x" * 100_000),)),), sampling=ASK.sampling)
    call = replace(CALL, chat=long)
    usd = expected_usd(call, catalog, rates)
    assert usd == pytest.approx((tokens + 400) * 10e-6, rel=1e-3)
    assert usd <= reserved_usd(call, Mode.COMPLETE, catalog)


@pytest.mark.parametrize(
    ("limit_usd", "pin", "mode", "plans"),
    [
        (None, "", Mode.COMPLETE, ["ladder", "cheap", "reasoning"]),
        (0.001, "", Mode.COMPLETE, ["ladder", "cheap"]),
        (0.0001, "", Mode.COMPLETE, []),
        (0.001, "reasoning", Mode.STREAM, []),
        (0.001, "", Mode.DECIDE, ["cheap", "reasoning"]),
    ],
)
def test_open_request_drops_plans_when_the_cost_limit_does_not_pay_them(
    limit_usd: float | None, pin: str, mode: Mode, plans: list[str]
) -> None:
    request = replace(CALL, options=RoutingOptions(arm=pin, max_cost_usd=limit_usd))
    state = open_request(request, mode, "d-1", 0.0, LADDER)
    assert [plan.name for plan in state.plans] == plans


def test_open_request_keeps_plans_when_only_a_fallback_is_paid() -> None:
    request = replace(CALL, options=RoutingOptions(max_cost_usd=0.001))
    plans = {"reasoning": SINGLES["reasoning"]}
    state = open_request(request, Mode.COMPLETE, "d-1", 0.0, replace(CATALOGUE, plans=plans))
    assert [plan.name for plan in state.plans] == ["reasoning"]


def test_open_request_raises_when_everything_is_ruled_out() -> None:
    with pytest.raises(NoEligiblePlan):
        open_request(CALL, Mode.DECIDE, "d-1", 0.0, CATALOGUE)
    with pytest.raises(NoEligiblePlan):
        reserved_usd(
            RouteRequest(Tenant("acme", TenantLimits(arms=("other",))), ASK), Mode.COMPLETE
        )
    with pytest.raises(InvalidRequest, match="name one of: cheap, reasoning"):
        reserved_usd(replace(CALL, options=RoutingOptions(arm="other")), Mode.COMPLETE)


def test_a_session_is_recorded_as_a_digest_of_tenant_and_session() -> None:
    def recorded(tenant: str, session_id: str) -> str:
        asked = RouteRequest(Tenant(tenant), ASK, options=RoutingOptions(session_id=session_id))
        return open_request(asked, Mode.COMPLETE, "d-1", 0.0, LADDER).record(LADDER).session_id

    assert recorded("acme", "") == ""
    digest = recorded("acme", "mail@example.com")
    assert len(bytes.fromhex(digest)) == 16
    assert (
        digest == recorded("acme", "mail@example.com") == session_digest("acme", "mail@example.com")
    )
    assert len({digest, recorded("acme", "another"), recorded("other", "mail@example.com")}) == 3


def test_a_request_with_images_has_no_bytes_by_which_tokens_are_learned() -> None:
    catalog = replace(
        CATALOGUE, arms={"cheap": Arm("cheap", (replace(LOW, images=True),))}, plans=SINGLES
    )
    seen = Message(Role.USER, (TextPart("hi"), ImagePart("https://x/cat.png")))
    for message, size in ((ASK.messages[0], 2), (seen, 0)):
        request = replace(CALL, chat=replace(ASK, messages=(message,)))
        turn = open_request(request, Mode.COMPLETE, "d-1", 0.0, catalog).record(catalog).turn
        assert turn is not None
        assert turn.input_bytes == size
