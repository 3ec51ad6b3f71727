"""Prices of a request by hand: what is warm, what is written, and the turn that follows."""

from __future__ import annotations

import pytest

from bandit.choice import check_price
from router.domain.catalog import LEAST_PRIOR_USD, Arm, Catalog, Deployment, Plan, Price
from router.domain.chat import ChatRequest, ImagePart, Message, Role, Sampling, TextPart
from router.domain.conversations import Conversation, Seen
from router.domain.eligibility import Requirements
from router.learning.request_rates import RequestRates
from router.serving.request_prices import PricedRequest, PriceList, RequestPrices

PRICE = Price(10, 30, 1, 12.5)
PLAIN = Price(2, 6)
# Four bytes a token, and all of what is warm is read from the cache.
CERTAIN = 1e12
RATES = RequestRates(
    {
        "deployments": [
            [name, CERTAIN, 4 * CERTAIN, CERTAIN, CERTAIN, CERTAIN, CERTAIN]
            for name in ("big", "small")
        ],
    }
)
NOW_MS = 1_000_000


def deployment(name: str, price: Price, **more: object) -> Deployment:
    return Deployment(name, "openai", "http://127.0.0.1:9", "m", price, **more)  # type: ignore[arg-type]


BIG, SMALL = deployment("big", PRICE), deployment("small", PLAIN)
PLANS = {
    "big": Plan("big", ("big",), 1.0),
    "small": Plan("small", ("small",), 1.0),
    "ladder": Plan("ladder", ("small", "big"), 1.0, second="big"),
}


def catalog(big: Deployment = BIG, small: Deployment = SMALL) -> Catalog:
    return Catalog({"big": Arm("big", (big,)), "small": Arm("small", (small,))}, PLANS)


def asked(tokens: int, warm: int = 0, age_s: int = 10, last: int = 100) -> PricedRequest:
    needs = Requirements(tokens, tokens, input_bytes=4 * tokens, last_bytes=4 * last)
    seen = (("big", Seen(warm, NOW_MS - 1_000 * age_s)),) if warm else ()
    turns = len(seen)
    before = Conversation(seen, turns=turns)
    return PricedRequest(needs, before, now_ms=NOW_MS, number=turns + 1)


def listed(request: PricedRequest, rates: RequestRates = RATES, **more: Deployment) -> PriceList:
    return RequestPrices(catalog(**more), 400).of(request, rates)


def test_a_warm_conversation_of_ten_thousand_tokens_costs_what_the_bill_says() -> None:
    """9,000 tokens are read at 1, a thousand are new and written at 12.5 USD per million."""
    prices = listed(asked(10_000, warm=9_000))
    assert prices.arms["big"].input_usd == pytest.approx(0.009 + 0.0125, rel=1e-9)
    assert prices.arms["big"].guess_usd == pytest.approx(400 * 30 / 1e6)
    assert prices.arms["small"].input_usd == pytest.approx(0.02, rel=1e-9)


@pytest.mark.parametrize(
    ("request_", "usd"),
    [
        (asked(10_000), 0.125),
        (asked(10_000, warm=9_000, age_s=300), 0.125),
        (asked(10_000, warm=1_023), 0.125),
        (asked(1_000), 0.01),
        (asked(5_000, warm=9_000), 0.005),
    ],
    ids=["cold", "past its life", "too short to be kept", "too short to be written", "shortened"],
)
def test_what_is_not_warm_costs_the_full_rate(request_: PricedRequest, usd: float) -> None:
    assert listed(request_).arms["big"].input_usd == pytest.approx(usd, rel=1e-9)


def test_before_anything_is_learned_four_fifths_of_a_warm_prefix_count() -> None:
    read = deployment("big", Price(10, 30, 1))
    prices = RequestPrices(catalog(read)).of(asked(9_000, warm=5_000), RequestRates())
    assert prices.arms["big"].input_usd == pytest.approx((10_000 * 10 - 0.8 * 5_000 * 9) / 1e6)


def test_the_next_turn_finds_all_of_this_one_warm_where_it_was_answered() -> None:
    """It adds this turn's last message and a typical answer: 100 and 400 tokens."""
    prices = listed(asked(10_000))
    assert prices.arms["big"].next_usd == pytest.approx((10_000 * 1 + 500 * 12.5) / 1e6)
    assert prices.arms["small"].next_usd == pytest.approx(10_500 * 2 / 1e6)


@pytest.mark.parametrize(("most", "turns"), [(3.0, 2.0), (1.0, 1.0), (0.0, 0.0)])
def test_the_known_part_is_the_mean_over_the_turns_expected(most: float, turns: float) -> None:
    rates = RequestRates({**RATES.state(), "all": [1e9, 1e9, 0.0, 0.0, 0.0]})
    rates.everything[2] = 1e9  # half of all later turns are followed by another: p = 1, q = 1/2
    prices = RequestPrices(catalog(), 400, most).of(asked(10_000), rates)
    assert prices.turns_ahead == pytest.approx(turns)
    action, arm = prices.action(PLANS["big"]), prices.arms["big"]
    mean_usd = (arm.input_usd + turns * arm.next_usd) / (1 + turns)
    assert action.ahead_usd == pytest.approx(mean_usd)
    assert action.input_usd == pytest.approx(arm.input_usd)


def test_a_history_that_is_not_recognised_is_no_first_turn() -> None:
    rates = RequestRates({"all": [1e9, 0.0, 1e9, 0.0, 0.0]})
    first = PricedRequest(Requirements(10, 10, input_bytes=40))
    later = PricedRequest(Requirements(10, 10, input_bytes=40), number=2)
    made = [RequestPrices(catalog()).of(one, rates).turns_ahead for one in (first, later)]
    assert made == [0.0, 3.0]


def test_a_ladder_pays_its_first_input_and_shares_of_the_others() -> None:
    prices = listed(asked(10_000, warm=9_000))
    big, small = (prices.total_usd(arm) or 0.0 for arm in ("big", "small"))
    action = prices.action(PLANS["ladder"])
    assert action.prior_cost_usd == pytest.approx(small + 0.3 * big + 0.5 * big)
    assert action.input_usd == pytest.approx(0.02)


def test_an_output_limit_bounds_the_guess() -> None:
    needs = Requirements(10, 10, output_tokens=50, input_bytes=40)
    assert listed(PricedRequest(needs)).arms["big"].guess_usd == pytest.approx(50 * 30 / 1e6)


def test_an_image_costs_its_tokens_besides_its_text() -> None:
    text, image = TextPart("w" * 4_000), ImagePart("https://images.test/a.png")
    with_, without = (
        Requirements.of(ChatRequest((Message(Role.USER, parts),), sampling=Sampling()))
        for parts in ((text, image), (text,))
    )
    big = deployment("big", Price(10, 30), images=True)
    seen, unseen = (listed(PricedRequest(n), big=big).arms["big"] for n in (with_, without))
    assert seen.input_usd - unseen.input_usd == pytest.approx(1_600 * 10 / 1e6)


def test_the_first_deployment_that_can_serve_the_request_names_the_price() -> None:
    small = deployment("small", PLAIN, context_window_tokens=8_000)
    large = deployment("large", Price(4, 6))
    arms = {"small": Arm("small", (small, large))}
    prices = RequestPrices(Catalog(arms, PLANS)).of(asked(10_000), RATES)
    per_byte = 1 / 3.6  # nothing was learned of it
    assert prices.arms["small"].input_usd == pytest.approx(40_000 * per_byte * 4 / 1e6)
    assert RequestPrices(catalog()).of(asked(500_000), RATES).arms == {}


@pytest.mark.parametrize("price", [Price(0, 0), Price(1_000, 0), Price(0, 0, 0, 0), Price(1e-9, 0)])
@pytest.mark.parametrize("tokens", [0, 1, 120_000])
def test_a_price_is_never_refused_by_the_policy(price: Price, tokens: int) -> None:
    """Free models, output for nothing and empty requests leave a guess that outlasts rounding."""
    prices = listed(asked(tokens, warm=tokens), big=deployment("big", price))
    for plan in PLANS.values():
        action = prices.action(plan)
        check_price(action)
        assert action.guess_usd >= 0.9 * LEAST_PRIOR_USD
