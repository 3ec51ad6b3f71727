"""Facts of a whole request, and a context as it is written down."""

from __future__ import annotations

import time

import msgspec
import numpy as np
import pytest

from bandit import ContextMap
from bandit.context.features import CONVERSATION_NAMES, conversation_features
from bandit.settings import CONVERSATION
from router.domain.chat import (
    ChatRequest,
    ImagePart,
    Message,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
)
from router.domain.logged_context import (
    MOST_USER_TEXTS,
    application_of,
    blended,
    facts_of,
    log_context,
    read_context,
    said_in,
)
from router.domain.records import LoggedContext


def said(role: Role, text: str, **more: object) -> Message:
    return Message(role, (TextPart(text),), **more)  # type: ignore[arg-type]


QUESTION = said(Role.USER, "What is the capital of Norway?")


def features(*messages: Message, sampling: Sampling | None = None) -> dict[str, float]:
    chat = ChatRequest(messages, sampling=sampling or Sampling())
    found = conversation_features(facts_of(chat)).tolist()
    return dict(zip(CONVERSATION_NAMES, found, strict=True))


def test_features_of_a_single_question_are_zero() -> None:
    assert len(CONVERSATION_NAMES) == CONVERSATION
    assert set(features(QUESTION).values()) == {0.0}
    assert set(features(QUESTION, sampling=Sampling(seed=4, temperature=0.2)).values()) == {0.0}


@pytest.mark.parametrize(
    ("more", "risen"),
    [
        ((said(Role.SYSTEM, "Be brief."),), {"other_tokens", "other_share", "system_prompt"}),
        (
            (said(Role.USER, "Hello there."), said(Role.ASSISTANT, "Hello, how can I help?")),
            {"other_tokens", "other_share", "answers"},
        ),
        ((Message(Role.USER, (ImagePart("https://x/y.png"),)),), {"images"}),
    ],
)
def test_features_tell_what_stands_before_the_question(
    more: tuple[Message, ...], risen: set[str]
) -> None:
    found = features(*more, QUESTION)
    assert {name for name, value in found.items() if value} == risen
    assert all(-1 <= value <= 1.5 for value in found.values())


def test_a_tight_limit_rises_and_a_wide_one_falls() -> None:
    limits = [
        features(QUESTION, sampling=Sampling(max_output_tokens=n)) for n in (1, 64, 1_024, 10**6)
    ]
    told = [found["output_limit"] for found in limits]
    assert told == sorted(told, reverse=True)
    assert told[1] > 0.5
    assert told[2] == 0.0
    assert told[3] == -1.0


@pytest.mark.parametrize(
    ("result", "failed"),
    [
        ('{"error": "no such file"}', True),
        ('{"error":null,"rows":[]}', False),
        ('{"errors": [], "rows": [1]}', False),
        ('{"is_error": true}', True),
        ('{"ok": false}', True),
        ('{"status": 404}', True),
        ('{"status": "ok"}', False),
        ("Traceback (most recent call last):\n  File", True),
        ("ValueError: bad literal", True),
        ("bash: cat: x.txt: No such file or directory", True),
        ("Process ended with exit code 1", True),
        ("exit code 0", False),
        ("The errors of the measurement are small.", False),
        ("", False),
        ("x" * 1_000_000, False),
        ("{[(" * 300_000, False),
        ("\ud800 \udfff", False),
    ],
)
def test_a_failed_tool_call_is_told_by_the_beginning_of_its_result(
    result: str, *, failed: bool
) -> None:
    call = Message(Role.ASSISTANT, (), (ToolCall("1", "read", "{}"),))
    began = time.process_time()
    found = features(QUESTION, call, said(Role.TOOL, result, tool_call_id="1"))
    assert time.process_time() - began < 0.5
    assert bool(found["tool_failed"]) is failed
    assert found["tool_results"] > 0


def test_only_the_last_result_tells_of_a_failure() -> None:
    bad, good = (said(Role.TOOL, text, tool_call_id="1") for text in ("Error: gone", "fine"))
    assert features(QUESTION, bad, good)["tool_failed"] == 0.0
    assert features(QUESTION, good, bad)["tool_failed"] == 1.0


def test_a_conversation_of_many_messages_is_read_whole() -> None:
    turn = (QUESTION, said(Role.ASSISTANT, "Oslo. " * 400))
    chat = ChatRequest((*turn * 1_000, QUESTION), tools=(Tool("read"),) * 10)
    facts = facts_of(chat, "0123456789abcdef")
    assert facts.answers == 1_000
    assert facts.application == 0x01234567


def test_applications_are_numbers_of_31_bits() -> None:
    assert application_of("") == 0
    assert application_of("00000007" + "a" * 8) == 7
    assert application_of("f" * 16) == 2**31 - 1


def test_a_context_is_read_as_it_was_written() -> None:
    made, chat = ContextMap.default(), ChatRequest((said(Role.SYSTEM, "Be brief."), QUESTION))
    embedding = np.full(384, 384**-0.5, dtype=np.float32)
    context = made.build(embedding, facts_of(chat, "00000007ffffffff"))
    logged = msgspec.msgpack.decode(
        msgspec.msgpack.encode(log_context(context)), type=LoggedContext
    )
    again = read_context(logged)
    assert again.application == 7
    assert again.conversation == pytest.approx(context.conversation, rel=1e-3)
    plain = log_context(made.build(embedding, facts_of(ChatRequest((QUESTION,)))))
    assert plain.conversation == ()
    assert plain.application == 0
    assert read_context(plain).conversation.shape == (0,)


LONG = "Which element of the periodic table has the highest melting point?"


def conversation(*users: str, system: str = "") -> ChatRequest:
    turns = [m for text in users for m in (said(Role.USER, text), said(Role.ASSISTANT, "Well."))]
    head = (said(Role.SYSTEM, system),) if system else ()
    return ChatRequest((*head, *turns[:-1]))


@pytest.mark.parametrize("text", ["What is 2+2?", "", "yes, please", "x" * 10_000, "\ud800"])
def test_a_question_alone_is_all_that_is_said(text: str) -> None:
    chat = conversation(text)
    (own, weight), *others = said_in(chat)
    assert (own, others) == (text, [])
    vector = np.ones(3, dtype=np.float32)
    assert blended([(vector, weight)]) is vector
    assert facts_of(chat).text == chat.prompt


@pytest.mark.parametrize(
    "empty",
    ["yes, please", "continue", "ok go on", "", "  ", "ja bitte", "继续", "да, пожалуйста", "नहीं"],
)
def test_a_message_without_content_leaves_all_to_the_one_before(empty: str) -> None:
    chat = conversation(LONG, empty)
    weights = dict(said_in(chat))
    assert weights[LONG] >= 0.8
    assert facts_of(chat).text == LONG
    again = conversation(LONG, "yes", empty)
    assert dict(said_in(again))[LONG] >= 0.8


def test_a_message_with_content_has_most_of_the_weight() -> None:
    chat = conversation(LONG, "Who discovered the law of conservation of mass?")
    weights = dict(said_in(chat))
    assert 0.85 <= weights[chat.prompt] < 1.0
    assert facts_of(chat).text == chat.prompt
    assert sum(weights.values()) == pytest.approx(1.0)


def test_a_short_request_that_points_back_shares_its_weight() -> None:
    weights = dict(said_in(conversation(LONG, "translate that")))
    assert 0 < weights["translate that"] < weights[LONG]


def test_a_system_prompt_counts_unless_it_says_nothing() -> None:
    told = "You review contracts of employment. Answer with the clause alone."
    assert dict(said_in(conversation(LONG, system=told)))[told] > 0
    for nothing in ("", "You are here to help.", "Be so nice, please."):
        assert said_in(conversation(LONG, system=nothing)) == ((LONG, 1.0),)


def test_what_is_read_of_a_long_conversation_is_bounded() -> None:
    system = "Check the accounts of the firm. " * 32_000
    users = [f"Question {number} of the audit about assets" for number in range(1_000)]
    chat = conversation(*users, system=system)
    said_in(chat)
    began = time.process_time()
    found = said_in(chat)
    assert time.process_time() - began < 0.2
    assert len(found) <= MOST_USER_TEXTS + 1
    assert found[0][0] == users[-1]


def test_unknown_vectors_are_left_out_of_a_blend() -> None:
    one, other = np.eye(2, dtype=np.float32)
    assert blended([(one, 0.5), (None, 0.5)]) is one
    assert blended([(one, 0.0), (None, 1.0)]) is one
    mixed = blended([(one, 0.5), (other, 0.5)])
    assert mixed == pytest.approx([2**-0.5, 2**-0.5])
    assert blended([(one, 0.5), (-one, 0.5)]) is one
