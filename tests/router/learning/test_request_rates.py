"""Rates learned of what providers report: bounded, forgotten slowly, restored bit for bit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from router.domain.records import Attempt, AttemptOutcome, DecisionRecord, Mode, TurnFacts
from router.learning.request_rates import (
    MOST_APPLICATIONS,
    MOST_DEPLOYMENTS,
    MOST_ONCE,
    SECOND,
    RequestRates,
)
from router.serving.request_prices import (
    HIT_RATE,
    TOKENS_PER_BYTE,
    growth_of,
    hit_rate,
    tokens_per_byte,
    turns_ahead,
    write_share,
)

CALL = Attempt(
    "arm", "d", "m", AttemptOutcome.ACCEPTED, "passed", 100.0, input_tokens=2_500, cost_usd=0.01
)


def turn(
    *calls: Attempt,
    number: int = 1,
    size: int = 10_000,
    warm: int = 0,
    application: str = "",
    locked: bool = False,
) -> DecisionRecord:
    facts = TurnFacts(
        application=application, number=number, input_bytes=size, warm=(("d", warm),) * bool(warm)
    )
    return DecisionRecord(
        "id", "t", 0, Mode.COMPLETE, attempts=calls or (CALL,), turn=facts, locked=locked
    )


def taught(records: Iterable[DecisionRecord]) -> RequestRates:
    rates = RequestRates()
    for record in records:
        rates.learn(record)
    return rates


def cached(tokens: int) -> Attempt:
    return replace(CALL, cached_tokens=tokens)


def test_tokens_per_byte_come_from_what_a_deployment_reports() -> None:
    rates = taught([turn()] * 40)
    assert tokens_per_byte(rates, "d") == pytest.approx(0.25, rel=0.01)
    assert tokens_per_byte(rates, "other") == pytest.approx(TOKENS_PER_BYTE)


@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_images_and_hidden_prompts_do_not_pass_for_text(size: int) -> None:
    """Thousands of tokens for a few bytes, or next to none for many, are no rate of a text."""
    assert tokens_per_byte(taught([turn(size=size)] * 40), "d") == pytest.approx(TOKENS_PER_BYTE)


@pytest.mark.parametrize(
    "call",
    [
        replace(CALL, guessed=True),
        replace(CALL, outcome=AttemptOutcome.FAILED),
        replace(CALL, outcome=AttemptOutcome.CANCELLED),
        replace(CALL, input_tokens=0),
        replace(CALL, deployment=""),
    ],
)
def test_a_guess_or_half_a_call_teaches_nothing_of_deployments(call: Attempt) -> None:
    assert not taught([turn(call)]).deployments


def test_records_of_earlier_versions_teach_nothing() -> None:
    assert taught([replace(turn(), turn=None)]).is_blank


@pytest.mark.parametrize(
    "unanswered",
    [
        turn(replace(CALL, outcome=AttemptOutcome.FAILED)),
        turn(replace(CALL, outcome=AttemptOutcome.CANCELLED)),
        replace(turn(), attempts=()),
        replace(turn(), mode=Mode.DECIDE, attempts=(), settled=False),
    ],
    ids=["failed", "cancelled", "out of the cache", "whose outcome nobody has told yet"],
)
def test_turns_that_no_call_has_answered_are_none(unanswered: DecisionRecord) -> None:
    """Who has no answer asks again, and a turn of `Decide` is told of twice."""
    second = turn(number=2)
    assert taught([unanswered, turn(), second] * 50).everything == pytest.approx(
        taught([turn(), second] * 50).everything
    )


def test_locked_turns_teach_too() -> None:
    rates = taught([turn(cached(2_000), number=2, warm=2_000, locked=True)] * 50)
    assert hit_rate(rates, "d") > 0.98


def test_a_provider_that_stops_caching_is_seen() -> None:
    rates = taught([turn(cached(2_000), number=2, warm=2_000)] * 3_000)
    assert hit_rate(rates, "d") > 0.99
    for _ in range(500):
        rates.learn(turn(cached(0), number=2, warm=2_000))
    assert hit_rate(rates, "d") == pytest.approx(0.5, abs=0.02)
    for _ in range(2_500):
        rates.learn(turn(cached(0), number=2, warm=2_000))
    assert hit_rate(rates, "d") < 0.03


def test_a_cache_that_was_never_asked_for_more_than_it_had_tells_nothing_of_hits() -> None:
    assert hit_rate(taught([turn(cached(1_000))] * 50), "d") == pytest.approx(HIT_RATE)


@pytest.mark.parametrize("lie", [replace(CALL, cached_tokens=10**9, written_tokens=10**9)])
def test_more_cached_than_sent_counts_as_all_of_it(lie: Attempt) -> None:
    rates = taught([turn(lie, number=2, warm=2_000)] * 50)
    assert HIT_RATE < hit_rate(rates, "d") <= 1.0
    assert 0 <= write_share(rates, "d") <= 1


def test_writes_are_learned_of_what_was_not_cached() -> None:
    rates = taught([turn(replace(CALL, cached_tokens=500, written_tokens=1_000))] * 100)
    assert write_share(rates, "d") == pytest.approx(0.5, abs=0.02)


def test_growth_is_learned_by_application() -> None:
    """A reading that is as long as the last request tells by how much this one grew."""
    agent = turn(number=3, warm=2_300, application="a")
    chat = turn(number=3, warm=1_000, application="c")
    rates = taught([agent, chat] * 200)
    assert growth_of(rates, "a", 9_000) == pytest.approx(200, rel=0.1)
    assert growth_of(rates, "c", 9_000) == pytest.approx(1_500, rel=0.1)
    assert 200 < growth_of(rates, "new", 9_000) < 1_500
    assert growth_of(RequestRates(), "a", 9_000) == 9_000


def test_turns_are_counted_by_application() -> None:
    """Each conversation of the agent has nine turns, each of the chat one."""
    agent = [turn(number=number, application="a") for number in range(1, 10)]
    rates = taught([*agent, *[turn(application="c")] * 9] * 60)
    assert turns_ahead(rates, "a", is_first=True) == pytest.approx(8, rel=0.2)
    assert turns_ahead(rates, "c", is_first=True) < 0.1
    between = turns_ahead(rates, "new", is_first=True)
    assert 0.1 < between < turns_ahead(rates, "a", is_first=True)


def test_a_conversation_without_end_keeps_the_expectation_finite() -> None:
    rates = taught(turn(number=number, application="a") for number in range(1, 3_000))
    assert turns_ahead(rates, "a", is_first=False) <= 100


def test_tables_are_bounded_and_the_least_recently_seen_go_first() -> None:
    rates = RequestRates()
    for index in range(2 * MOST_APPLICATIONS):
        call = replace(CALL, deployment=f"d{index}")
        rates.learn(turn(call, application=f"a{index}"))
        rates.learn(turn(application="kept"))
    assert len(rates.deployments) == MOST_DEPLOYMENTS
    assert len(rates.applications) == MOST_APPLICATIONS
    assert {"kept", f"a{2 * MOST_APPLICATIONS - 1}"} <= rates.applications.keys()
    assert "a0" not in rates.applications
    assert "d" in rates.deployments


def test_rates_are_restored_bit_for_bit_and_learn_on_the_same() -> None:
    events = [
        turn(number=n % 4 + 1, warm=n * 7 % 2_500, application=f"a{n % 5}") for n in range(99)
    ]
    whole, half = taught(events), taught(events[:50])
    resumed = RequestRates(half.state())
    for record in events[50:]:
        resumed.learn(record)
    assert resumed.state() == whole.state()
    assert list(resumed.applications) == list(whole.applications)


def test_a_state_does_not_change_with_what_is_learned_later() -> None:
    rates = taught([turn(number=2)])
    before = rates.state()
    rates.learn(turn(number=2))
    assert before["all"][SECOND] == 1.0


@pytest.mark.parametrize(
    "saved",
    [
        {"deployments": [["d", 1.0]]},
        {"deployments": [["d", *[float("nan")] * 6]]},
        {"deployments": [["d", *[-1.0] * 6]]},
        {"deployments": [["d", *["much"] * 6]]},
        {"deployments": [[f"d{i}", *[1.0] * 6] for i in range(MOST_DEPLOYMENTS + 1)]},
        {"all": [1.0]},
        {"all": 3},
    ],
)
def test_a_damaged_state_is_refused(saved: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        RequestRates(saved)


def test_an_application_that_never_ends_drives_out_no_other() -> None:
    """A system prompt that holds the time of day is another one with every request."""
    rates = taught(turn(number=number, application="agent") for number in (1, 2, 3))
    before = rates.applications["agent"]
    for index in range(3 * MOST_APPLICATIONS):
        rates.learn(turn(application=f"at {index}"))
    assert rates.applications["agent"] == before
    assert len(rates.applications) == MOST_APPLICATIONS
    resumed = RequestRates(rates.state())
    resumed.learn(turn(application="one more"))
    rates.learn(turn(application="one more"))
    assert resumed.state() == rates.state()


def test_those_that_came_once_have_room_until_they_come_again() -> None:
    rates = RequestRates()
    for index in range(MOST_APPLICATIONS):
        for _ in range(2):
            rates.learn(turn(application=f"old {index}"))
    rates.learn(turn(application="new"))
    for index in range(MOST_ONCE - 1):
        rates.learn(turn(application=f"at {index}"))
    assert "new" in rates.applications


def test_what_is_not_answered_is_no_turn() -> None:
    """An outage of which callers try again, and callers who ask whom to call and call nobody."""
    failed = replace(CALL, outcome=AttemptOutcome.FAILED)
    rates = taught([turn(number=number) for number in (1, 2, 3)] * 50)
    before = turns_ahead(rates, "", is_first=True)
    asked = replace(turn(), attempts=(), mode=Mode.DECIDE, settled=False)
    for record in [turn(failed), asked] * 500:
        rates.learn(record)
    assert turns_ahead(rates, "", is_first=True) == before


def test_growth_is_learned_of_counts_that_can_be_true() -> None:
    """A caller reports a hundred million tokens of its own call, for a request of some bytes."""
    lie = replace(CALL, input_tokens=100_000_000)
    rates = taught([turn(number=2, warm=2_300)] * 20)
    before = growth_of(rates, "new", 100)
    for _ in range(20):
        rates.learn(turn(lie, number=2, warm=2_300))
    assert growth_of(rates, "new", 100) == pytest.approx(before, rel=0.1)


def test_a_caller_that_lies_in_long_reports_weighs_as_its_requests() -> None:
    """One request of thirty-one tells of a token in every byte of 60,000."""
    honest = turn(replace(CALL, input_tokens=500), size=2_000)
    lie = replace(turn(replace(CALL, input_tokens=60_000), size=60_000), mode=Mode.DECIDE)
    rates = taught([*[honest] * 30, lie] * 60)
    assert tokens_per_byte(rates, "d") == pytest.approx(0.25, rel=0.15)


def test_reports_of_long_requests_teach_where_there_is_nothing_else() -> None:
    report = replace(turn(replace(CALL, input_tokens=12_000), size=30_000), mode=Mode.DECIDE)
    assert tokens_per_byte(taught([report] * 60), "d") == pytest.approx(0.4, rel=0.03)


def test_parts_that_are_left_out_do_not_make_text_cheap() -> None:
    """A caller sends 45,000 bytes that no model takes back, in one request of thirty-one."""
    honest = turn(replace(CALL, input_tokens=500), size=2_000)
    stuffed = turn(replace(CALL, input_tokens=1_000), size=49_000)
    rates = taught([*[honest] * 30, stuffed] * 60)
    assert tokens_per_byte(rates, "d") == pytest.approx(0.25, rel=0.01)
