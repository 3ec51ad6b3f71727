"""Conversations are recognised by their messages, and what is known of one after a turn."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from router.domain.catalog import Deployment, Price
from router.domain.chat import (
    ChatRequest,
    Format,
    ImagePart,
    Message,
    OpaquePart,
    ResponseFormat,
    Role,
    TextPart,
    Tool,
    ToolCall,
)
from router.domain.conversations import (
    BOUNDARIES,
    MOST_SEEN,
    Conversation,
    Seen,
    after_turn,
    application_digest,
    turn_keys,
    turn_number,
    warm_everywhere,
    warm_of,
)
from router.domain.records import Attempt, AttemptOutcome

NOW_MS = 1_800_000_000_000
CHEAP = Deployment("cheap", "openai", "", "m", Price(1, 4, 0.1))
STRONG = Deployment("strong", "anthropic", "", "m", Price(10, 40, 1, 12.5), cache_ttl_s=300)


def said(role: Role, text: str = "", *calls: ToolCall, answers: str = "") -> Message:
    return Message(role, (TextPart(text),) if text else (), calls, answers)


def talk(turns: int, system: str = "Be brief.") -> ChatRequest:
    """Returns the request of one turn of a conversation."""
    messages = [said(Role.SYSTEM, system)]
    for number in range(1, turns):
        messages += [said(Role.USER, f"q{number}"), said(Role.ASSISTANT, f"a{number}")]
    return ChatRequest((*messages, said(Role.USER, f"q{turns}")))


def own_key(tenant: str, chat: ChatRequest) -> str:
    return turn_keys(tenant, chat).own


def candidates(tenant: str, chat: ChatRequest) -> tuple[str, ...]:
    return turn_keys(tenant, chat).earlier


def attempt(
    deployment: str = "cheap",
    tokens: int = 2_000,
    output: int = 100,
    *,
    cost_usd: float = 0.01,
    outcome: AttemptOutcome = AttemptOutcome.ACCEPTED,
    guessed: bool = False,
) -> Attempt:
    return Attempt(
        "arm", deployment, "m", outcome, "passed", 1.0, tokens, output, cost_usd, guessed=guessed
    )


def test_each_turn_is_found_by_those_after_it() -> None:
    keys = [own_key("acme", talk(turn)) for turn in range(1, 10)]
    assert len(set(keys)) == len(keys)
    for turn in range(1, 10):
        earlier = keys[: turn - 1][-BOUNDARIES:]
        assert list(candidates("acme", talk(turn))) == earlier[::-1]


def test_steps_of_a_tool_loop_are_turns() -> None:
    call = ToolCall("c1", "look", '{"at": 1}')
    question = ChatRequest((said(Role.USER, "Look."),), tools=(Tool("look"),))
    results = replace(
        question,
        messages=(
            *question.messages,
            said(Role.ASSISTANT, "", call),
            said(Role.TOOL, "Seen.", answers="c1"),
        ),
    )
    assert candidates("acme", results) == (own_key("acme", question),)


def changed(chat: ChatRequest, index: int, message: Message) -> ChatRequest:
    messages = list(chat.messages)
    messages[index] = message
    return replace(chat, messages=tuple(messages))


OTHERS = {
    "tenant": ("other", talk(3)),
    "system": ("acme", talk(3, "Be long.")),
    "question": ("acme", changed(talk(3), 1, said(Role.USER, "q1?"))),
    "role": ("acme", changed(talk(3), 1, said(Role.SYSTEM, "q1"))),
    "answer": ("acme", changed(talk(3), 2, said(Role.ASSISTANT, "another"))),
    "call": ("acme", changed(talk(3), 2, said(Role.ASSISTANT, "a1", ToolCall("c", "look", "{}")))),
    "image": ("acme", changed(talk(3), 1, Message(Role.USER, (TextPart("q1"), ImagePart("x"))))),
    "tools": ("acme", replace(talk(3), tools=(Tool("look"),))),
    "format": ("acme", replace(talk(3), response_format=ResponseFormat(Format.JSON_OBJECT))),
    "shifted": ("acme", changed(talk(3), 1, Message(Role.USER, (TextPart("q"), TextPart("1"))))),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_beginning_is_another_conversation(name: str) -> None:
    tenant, chat = OTHERS[name]
    known = {own_key("acme", talk(turn)) for turn in (2, 3)}
    assert not known.intersection(candidates(tenant, chat)[:1])
    assert own_key(tenant, chat) not in known


def test_a_tenant_shares_nothing() -> None:
    ours = {own_key("a", talk(turn)) for turn in range(1, 9)}
    assert not ours.intersection(candidates("b", talk(9)))
    assert not ours.intersection(candidates("a\x00", talk(9)))


def test_an_edit_leaves_what_stands_before_it() -> None:
    """The longest match that is left is the warm prefix, as it is at a provider."""
    edited = changed(talk(5), 4, said(Role.ASSISTANT, "edited"))
    assert own_key("acme", talk(4)) not in candidates("acme", edited)
    assert own_key("acme", talk(3)) not in candidates("acme", edited)
    assert own_key("acme", talk(2)) in candidates("acme", edited)


def test_opaque_parts_and_white_space_make_no_difference() -> None:
    forged = OpaquePart("anthropic", "m", b"\xff" * 100_000)
    parts = (forged, TextPart("a1\n  "), TextPart(" "))
    told = changed(talk(3), 2, Message(Role.ASSISTANT, parts))
    assert candidates("acme", told) == candidates("acme", talk(3))
    assert own_key("acme", told) == own_key("acme", talk(3))


def test_random_conversations_meet_in_their_common_beginning_alone() -> None:
    draw = random.Random(7)
    roles = [Role.USER, Role.ASSISTANT, Role.TOOL]
    for _ in range(200):
        one, other = (
            [said(draw.choice(roles), draw.choice("abc")) for _ in range(8)] for _ in range(2)
        )
        common = next((i for i in range(8) if one[i] != other[i]), 8)
        for end in range(1, 9):
            same = own_key("t", ChatRequest(tuple(one[:end]))) == own_key(
                "t", ChatRequest(tuple(other[:end]))
            )
            assert same == (end <= common)


def test_numbers_of_turns() -> None:
    assert turn_number(Conversation(), turn_keys("t", talk(1))) == 1
    assert turn_number(Conversation(), turn_keys("t", talk(4))) == 4
    assert turn_number(Conversation(turns=41), turn_keys("t", talk(4))) == 42


def test_the_label_or_the_system_prompt_names_the_application() -> None:
    unnamed = ChatRequest((said(Role.USER, "q"), said(Role.SYSTEM, "late")))
    assert application_digest("", unnamed) == ""
    assert application_digest("", talk(1)) == application_digest("", talk(9))
    assert len(application_digest("", talk(1))) == 16
    assert application_digest("Be brief.", unnamed) != application_digest("", talk(1))
    assert application_digest("x", talk(1)) == application_digest("x", unnamed)


def test_warm_is_what_was_read_lately_and_is_long_enough() -> None:
    known = Conversation(
        (("cheap", Seen(1_023, NOW_MS)), ("strong", Seen(5_000, NOW_MS - 299_999)))
    )
    assert warm_of(known, CHEAP, NOW_MS) == 0
    assert warm_of(known, replace(CHEAP, cache_least_tokens=512), NOW_MS) == 1_023
    assert warm_of(known, STRONG, NOW_MS) == 5_000
    assert warm_of(known, STRONG, NOW_MS + 1) == 0
    assert warm_of(known, replace(STRONG, cache_ttl_s=3_600), NOW_MS + 1) == 5_000
    assert warm_of(Conversation(), STRONG, NOW_MS) == 0
    assert warm_everywhere(known, (CHEAP, STRONG), NOW_MS) == (("strong", 5_000),)


def test_who_never_switches_spends_what_staying_costs() -> None:
    known = Conversation()
    for turn in range(5):
        cost = attempt(tokens=1_000 * turn + 1_000, cost_usd=0.01 * (turn + 1))
        known = after_turn(known, CHEAP, [cost], NOW_MS + turn, first=CHEAP)
    assert (known.turns, known.first, known.last) == (5, "cheap", "cheap")
    assert known.spent_usd == pytest.approx(0.15)
    assert known.stay_usd == known.spent_usd
    assert known.seen == (("cheap", Seen(5_000, NOW_MS + 4)),)


def test_staying_is_reckoned_with_the_first_ones_warm_cache() -> None:
    first = after_turn(Conversation(), STRONG, [attempt("strong", 10_000, cost_usd=0.2)], NOW_MS)
    second = after_turn(
        first, CHEAP, [attempt("cheap", 12_000, 100)], NOW_MS + 60_000, first=STRONG
    )
    # 10,000 tokens read from its cache, 2,000 written to it, 100 of output.
    stay_usd = 0.2 + (10_000 * 1 + 2_000 * 12.5 + 100 * 40) / 1e6
    assert second.stay_usd == pytest.approx(stay_usd)
    assert second.spent_usd == pytest.approx(0.21)
    late = after_turn(first, CHEAP, [attempt("cheap", 12_000, 100)], NOW_MS + 300_000, first=STRONG)
    assert late.stay_usd == pytest.approx(0.2 + (12_000 * 12.5 + 100 * 40) / 1e6)
    gone = after_turn(first, CHEAP, [attempt("cheap", 12_000, 100)], NOW_MS + 60_000)
    assert gone.stay_usd == pytest.approx(0.2 + (10_000 * 0.1 + 2_000 + 100 * 4) / 1e6)


def test_every_call_that_was_counted_has_read_the_conversation() -> None:
    escalated = attempt("cheap", 2_000, outcome=AttemptOutcome.ESCALATED)
    guessed = attempt("other", 9_000, outcome=AttemptOutcome.FAILED, guessed=True)
    refused = attempt("third", 0, 0, cost_usd=0.0, outcome=AttemptOutcome.FAILED)
    served = attempt("strong", 2_100, cost_usd=0.05)
    known = after_turn(Conversation(), STRONG, [escalated, guessed, refused, served], NOW_MS)
    assert dict(known.seen) == {"cheap": Seen(2_000, NOW_MS), "strong": Seen(2_100, NOW_MS)}
    assert known.spent_usd == pytest.approx(0.07)
    assert known.stay_usd == pytest.approx(0.05)


def test_a_session_of_many_turns_stays_small() -> None:
    known, most = Conversation(), 0
    for turn in range(10_000):
        made = replace(CHEAP, name=f"d{turn % 32}")
        known = after_turn(known, made, [attempt(made.name)], NOW_MS + 1_000 * turn, first=CHEAP)
        most = max(most, len(known.seen))
    assert most == MOST_SEEN
    assert known.turns == 10_000
    assert dict(known.seen).keys() == {f"d{turn % 32}" for turn in range(10_000 - 8, 10_000)}


def test_what_was_read_long_ago_is_not_carried_along() -> None:
    known = after_turn(Conversation(), CHEAP, [attempt()], NOW_MS)
    later = after_turn(known, STRONG, [attempt("strong")], NOW_MS + 3_600_000, first=CHEAP)
    assert dict(later.seen).keys() == {"strong"}
