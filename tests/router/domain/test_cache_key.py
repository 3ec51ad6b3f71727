"""The exact key: everything that may change an answer is in it, and nothing is normalised."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

import pytest
from msgspec import UNSET

from router.domain.chat import (
    ChatRequest,
    Format,
    ImagePart,
    Message,
    Original,
    ResponseFormat,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
)
from router.domain.requests import (
    TRAILING,
    WeightOverrides,
    cache_key,
    prompt_digest,
    request_digest,
)

FULL = ChatRequest(
    messages=(
        Message(Role.SYSTEM, (TextPart("Be brief."),)),
        Message(Role.USER, (TextPart("What is on it? "), ImagePart("https://a/b.png", "low"))),
        Message(Role.ASSISTANT, (TextPart("I look."),), (ToolCall("c1", "look", '{"a": 1}'),)),
        Message(Role.TOOL, (TextPart("A cat."),), tool_call_id="c1"),
        Message(Role.USER, (ImagePart("https://a/c.png"), TextPart("And\n\twhat is here?"))),
    ),
    tools=(Tool("look", "Looks.", '{"type": "object"}'), Tool("add")),
    tool_choice=ToolChoice(ToolMode.REQUIRED, "look"),
    response_format=ResponseFormat(Format.JSON_SCHEMA, '{"type": "object"}', "seen"),
    sampling=Sampling(0.5, 0.9, 100, ("a", "b"), 7),
)
BARE = ChatRequest((Message(Role.USER, (TextPart("Why?"),)),))
WORDED = ChatRequest((Message(Role.USER, (TextPart("What is rain?"),)),))


FORMS = {field for field in fields(Original) if field.name == "body"}
"""What says nothing that the other fields do not."""


def exact(chat: ChatRequest, tenant: str = "t", weights: WeightOverrides | None = None) -> str:
    return cache_key(tenant, chat, weights).exact


def others(value: Any) -> Iterator[Any]:
    """Yields values that differ in one thing, anywhere in the tree."""
    if is_dataclass(value) and not isinstance(value, type):
        for field in set(fields(value)) - FORMS:
            for other in others(getattr(value, field.name)):
                yield replace(value, **{field.name: other})
    elif isinstance(value, Enum):
        yield from (member for member in type(value) if member is not value)
    elif isinstance(value, tuple):
        for at, one in enumerate(value):
            yield (*value[:at], *value[at + 1 :])
            yield from ((*value[:at], other, *value[at + 1 :]) for other in others(one))
        if len(value) > 1:
            yield value[::-1]
        yield (*value, *value[:1])
    elif isinstance(value, str):
        yield from (f"{value}x", f" {value}", value.upper() or "y")
    elif value is None or value is UNSET:
        yield 0 if value is None else Original("openai", b"{}", '{"top_k":1}')
    else:
        yield from (value + 1, None)


EXTRA = replace(BARE, original=Original("anthropic", b"{}", '{"top_k":1}', (("a", "b"),)))


@pytest.mark.parametrize("chat", [FULL, BARE, EXTRA])
def test_whatever_differs_makes_another_key(chat: ChatRequest) -> None:
    made = [other for other in others(chat) if other != chat]
    assert len(made) > 10
    keys = [exact(other) for other in made]
    assert exact(chat) not in keys
    assert len(set(keys)) == len(set(made))


def test_every_field_of_the_request_counts() -> None:
    """A field that is added to a chat is in the key by itself: it holds the whole tree."""
    changed = {
        field.name
        for field in fields(ChatRequest)
        if any(
            exact(replace(FULL, **{field.name: other})) != exact(FULL)
            for other in others(getattr(FULL, field.name))
        )
    }
    assert changed == {field.name for field in fields(ChatRequest)}


def test_the_form_of_a_request_makes_no_other_key_its_extras_do() -> None:
    """An original with nothing beyond the chat is keyed as the chat that a gRPC caller sends."""
    for one in (BARE, FULL, WORDED):
        formed = replace(one, original=Original("openai", b'{"model": "a"}'))
        assert cache_key("t", formed) == cache_key("t", one)
        assert request_digest(formed) == request_digest(one)
        extra = replace(one, original=Original("openai", b"{}", '{"top_k":1}'))
        assert cache_key("t", extra).exact != cache_key("t", one).exact
        assert request_digest(extra) != request_digest(one)
        wordings = cache_key("t", extra).partition, cache_key("t", one).partition
        assert len({*wordings}) == (1 if wordings == ("", "") else 2)


WORDS = [
    "straße",
    "STRASSE",
    "é",
    "e\u0301",
    "ﬁ",
    "fi",
    "½",
    "1\u20442",
    "Å",
    "\u212b",
    "\u0131",
    "i",
    "İ",
]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u200b", "\u200d", "\u202e"]


def ask(text: str) -> ChatRequest:
    return ChatRequest(
        (Message(Role.SYSTEM, (TextPart("S "),)), Message(Role.USER, (TextPart(text),)))
    )


def test_keys_are_equal_only_where_texts_are_but_for_white_space_at_the_end() -> None:
    rng = random.Random(7)
    seen: dict[str, str] = {}
    for _ in range(4_000):
        text = "".join(rng.choices(WORDS + SPACES, k=rng.randrange(1, 5)))
        for form in (text, *(unicodedata.normalize(f, text) for f in ("NFC", "NFD", "NFKC"))):
            for one in (form, form.upper(), form.casefold()):
                told = seen.setdefault(exact(ask(one)), one.rstrip(TRAILING))
                assert told == one.rstrip(TRAILING)
    assert len(set(seen.values())) == len(seen)


@pytest.mark.parametrize("end", [" ", "\n", "\r\n", "\t", " \n \n"])
def test_white_space_at_the_end_of_the_last_user_message_makes_no_difference(end: str) -> None:
    assert exact(ask(f"Why?{end}")) == exact(ask("Why?"))
    assert prompt_digest("t", f"Why?{end}") == cache_key("t", ask("Why?")).prompt


@pytest.mark.parametrize("end", ["\u00a0", "\u3000", "\u200b", "\u2028", "\x0b", "\x1c"])
def test_other_signs_at_the_end_do(end: str) -> None:
    assert exact(ask(f"Why?{end}")) != exact(ask("Why?"))


def test_white_space_elsewhere_does() -> None:
    said = ask("Why?")
    system = replace(said.messages[0], parts=(TextPart("S"),))
    assert exact(replace(said, messages=(system, said.messages[1]))) != exact(said)
    assert exact(ask(" Why?")) != exact(ask("Why?")) != exact(ask("Why ?"))
    told = (*said.messages, Message(Role.ASSISTANT, (TextPart("So."),)), Message(Role.USER))
    earlier = ask("Why? ").messages
    assert exact(replace(said, messages=told)) != exact(
        replace(said, messages=(*earlier, *told[2:]))
    )


def test_stored_keys_stay_as_they_are() -> None:
    assert exact(BARE) == "7abde5f41e0c1b3361e1154e2b5f4841799ea038"


def test_weights_that_are_asked_for_tell_requests_apart() -> None:
    plain = exact(BARE)
    assert plain == exact(BARE, weights=WeightOverrides())
    asked = [WeightOverrides(quality=1.0), WeightOverrides(cost=1.0), WeightOverrides(quality=2.0)]
    keys = {exact(BARE, weights=one) for one in asked}
    assert len(keys | {plain}) == 4
    partitions = {cache_key("t", WORDED, one).partition for one in (None, *asked)}
    assert len(partitions) == 4


def test_tenants_have_keys_of_their_own() -> None:
    one, other = cache_key("a", WORDED), cache_key("b", WORDED)
    assert {one.exact, one.partition, one.prompt}.isdisjoint(
        {other.exact, other.partition, other.prompt}
    )
