"""The worth of one more prompt, and the probability of buying it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.gates.closed_answers import closed_answer
from router.serving.evidence.scorers import majority
from router.serving.evidence.worth import (
    LEAST_SHARE,
    Asking,
    Offer,
    TypicalValues,
    gap_of,
    offer_of,
    share_of,
    variance_apart,
    worth_usd,
)

COLD = Asking(
    known=0,
    labels=0,
    prompts=0,
    near=0,
    spread=0.16,
    apart=0.01,
    gap=0.02,
    quality_weight=1.0,
    ahead=40_000,
    utility_usd=0.1,
    price_usd=0.002,
)


def share(asking: Asking, most: float = 1.0) -> float:
    return share_of(asking, most, worth_usd(asking))


def after(prompts: float, asking: Asking = COLD) -> Asking:
    return replace(asking, known=prompts, labels=prompts, prompts=prompts, near=prompts / 8)


def test_the_first_hundred_are_bought() -> None:
    assert [share(after(n)) for n in (0, 20, 50, 100)] == [1.0] * 4
    assert share(COLD, 0.25) == 0.25


def test_later_it_is_less_and_less_until_nothing() -> None:
    shares = [share(after(n)) for n in (100, 200, 400, 800, 1_600, 12_800)]
    assert shares == sorted(shares, reverse=True)
    assert shares[1] <= 0.5
    assert shares[-1] == 0.0
    assert all(one == 0 or one >= LEAST_SHARE for one in shares)


def test_an_arm_that_changed_begins_anew() -> None:
    settled = replace(after(800), gap=0.002, ahead=4_000_000)
    assert 0 < share(settled) < 0.2
    assert share(replace(settled, known=0, labels=0)) == 1.0


def test_more_traffic_is_worth_more() -> None:
    late = replace(after(3_000), gap=0.005)
    assert share(late) == 0.0
    assert share(replace(late, ahead=5_000_000)) > 0.0


@pytest.mark.parametrize("price", [0.05, 1.0, 100.0])
def test_nothing_is_bought_above_its_worth(price: float) -> None:
    asking = replace(after(150), price_usd=price)
    assert share(asking) == 0 or worth_usd(asking) > price


def test_close_plans_are_worth_more_than_clear_ones() -> None:
    worths = [worth_usd(replace(after(50), gap=gap)) for gap in (0.0, 0.1, 0.3, 0.8)]
    assert worths == sorted(worths, reverse=True)
    assert worths[-1] < worths[0] / 50


def test_what_costs_nothing_is_bought_while_it_is_worth_anything() -> None:
    assert share(replace(after(50), price_usd=0.0)) == 1.0


def said(**texts: str) -> dict[str, float]:
    return majority({arm: closed_answer(text) for arm, text in texts.items()})


def test_most_of_them_are_right() -> None:
    told = said(a="The answer is 4.", b="#### 4", c="The answer is 5.", d="Who knows?")
    assert told == {"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.0}


@pytest.mark.parametrize(
    "texts",
    [
        {"a": "The answer is 4.", "b": "The answer is 5."},
        {"a": "#### 4", "b": "#### 4", "c": "#### 5", "d": "#### 5"},
        {"a": "Who knows?", "b": "I do not."},
        {"a": "The answer is 4.", "b": "#### 4"},
    ],
)
def test_without_a_majority_nothing_is_known(texts: dict[str, str]) -> None:
    assert said(**texts) == {}


def test_each_arm_is_asked_where_its_own_answer_is_worth_its_price() -> None:
    near, dear, worse = (
        after(60),
        replace(after(60), price_usd=1.0),
        replace(after(60), gap=0.4),
    )
    offer = offer_of({"near": near, "dear": dear, "worse": worse}, 1.0)
    assert offer.arms == ("near",)
    assert (offer.share, offer.worth_usd) == (share(near), worth_usd(near))
    assert offer_of({"dear": dear, "worse": worse}, 1.0) == Offer()
    assert offer_of({}, 1.0) == Offer()


def test_the_arm_that_least_is_known_of_says_how_often() -> None:
    new = replace(after(4_000), known=0, labels=0)
    old = replace(after(4_000), price_usd=0.0)
    offer = offer_of({"new": new, "old": old}, 1.0)
    assert set(offer.arms) == {"new", "old"}
    assert offer.share == 1.0


def test_a_gap_is_to_the_best_of_the_others() -> None:
    utilities = {"a": 0.9, "b": 0.7, "c": 0.6}
    gaps = [round(gap_of(arm, utilities), 3) for arm in ("a", "b", "c", "new")]
    assert gaps == [0.2, 0.2, 0.3, 0.0]
    assert gap_of("a", {"a": 0.9}) == 0.0


def test_served_answers_tell_of_an_arm_as_well() -> None:
    """An arm that is chosen all the time need not be asked for evidence."""
    unheard, heard = replace(after(20), price_usd=0.02), replace(after(20), price_usd=0.02)
    heard = replace(heard, labels=1_000)
    assert share(unheard) > 0
    assert share(heard) == 0


def test_arms_that_turn_out_alike_are_less_worth_telling_apart() -> None:
    alike = variance_apart([0.9, 0.9, 0.91, 0.9], [200] * 4, 0.16)
    apart = variance_apart([0.9, 0.6, 0.8, 0.7], [200] * 4, 0.16)
    assert alike < variance_apart([], [], 0.16) < apart
    worths = [worth_usd(replace(after(20), apart=each)) for each in (alike, apart)]
    assert worths[0] < worths[1] / 2


def test_how_near_an_arm_is_hardly_hangs_on_one_request() -> None:
    typical = TypicalValues()
    for _ in range(50):
        usual = typical.see({"best": 0.9, "weak": 0.6})
    odd = typical.see({"best": 0.7, "weak": 0.7})
    assert gap_of("weak", usual) == pytest.approx(0.3)
    assert gap_of("weak", odd) == pytest.approx(0.294)
