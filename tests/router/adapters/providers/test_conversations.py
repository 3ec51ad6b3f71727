"""Any conversation of the contract becomes one that each protocol takes, with nothing lost."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from router.adapters.providers.anthropic import Anthropic
from router.adapters.providers.dialect import Dialect
from router.adapters.providers.gemini import Gemini
from router.adapters.providers.openai import OpenAI
from router.adapters.providers.sending.call_ids import PRINTED, WORDS, CallIds, IdForm, exactly
from router.adapters.providers.sending.conversations import NO_RESULT, fitted
from router.adapters.providers.sending.hosts import resolved
from router.domain.catalog import Deployment, Price
from router.domain.chat import (
    ChatRequest,
    Format,
    ImagePart,
    Message,
    Part,
    ResponseFormat,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
)
from tests.contract import refusing

CASES = 400
IDS = [
    *("functions.get_weather:0", "functions.get_weather:1", "toolu_01A09q90qw90lq917835lq9"),
    *("call_9pQ", "a", "D681PevKs", "ü", "x" * 90, "chatcmpl-tool-1f0e", "with space"),
]
TEXTS = ["", " ", "\n\t", "\u3000", "One.", "Two. ", "{}", "\u200b", "Drei ü", "json"]
IMAGES = ["https://x.example/a.png", "data:image/jpg;base64,aGk=", "https://x.example/b?c=1"]
NAMES = ["get_weather", "functions.get_weather", "add", "größe", "n" * 80, "3d"]
ARGUMENTS = ["", "{}", '{"a": 1}', '{"a": "\\ud83d"}', '{"a": NaN}', "{broken", "[1]"]
SCHEMA = '{"type": "object", "properties": {"a": {"type": "integer"}}}'
SCHEMAS = [SCHEMA, '{"type": "array"}', "true", '{"$ref": "#/$defs/A", "$defs": {"A": {}}}']

Refuses = Callable[[dict[str, Any]], Iterator[str]]


def _deployment(provider: str, base_url: str) -> Deployment:
    return resolved(Deployment("d", provider, base_url, "m", Price(1, 1)))


TAKERS: dict[str, tuple[Dialect, Deployment, Refuses]] = {
    "openai": (OpenAI(), _deployment("openai", "https://api.openai.com/v1"), refusing.openai),
    "mistral": (OpenAI(), _deployment("openai", "https://api.mistral.ai/v1"), refusing.mistral),
    "perplexity": (
        OpenAI(),
        _deployment("openai", "https://api.perplexity.ai"),
        refusing.perplexity,
    ),
    "anthropic": (
        Anthropic(),
        _deployment("anthropic", "https://api.anthropic.com"),
        refusing.anthropic,
    ),
    "gemini": (Gemini(), _deployment("gemini", "https://x.example"), refusing.gemini),
}


def _parts(draw: random.Random) -> tuple[Part, ...]:
    texts: list[Part] = [TextPart(draw.choice(TEXTS)) for _ in range(draw.randrange(3))]
    if draw.random() < 0.2:
        texts.insert(0, ImagePart(draw.choice(IMAGES)))
    return tuple(texts)


def _message(draw: random.Random) -> Message:
    role = draw.choice([Role.USER, Role.ASSISTANT, Role.ASSISTANT, Role.TOOL, Role.SYSTEM])
    if role is Role.TOOL:
        return Message(role, _parts(draw), tool_call_id=draw.choice(IDS))
    calls = ()
    if role is Role.ASSISTANT and draw.random() < 0.7:
        calls = tuple(
            ToolCall(draw.choice(IDS), draw.choice(NAMES), draw.choice(ARGUMENTS))
            for _ in range(draw.randrange(1, 4))
        )
    return Message(role, _parts(draw), calls)


def conversation(seed: int) -> ChatRequest:
    """Returns one that the contract takes, and arguments that a model broke off besides."""
    draw = random.Random(seed)
    messages = [_message(draw) for _ in range(draw.randrange(9))]
    last = Message(Role.USER, (TextPart("The question."),))
    if draw.random() < 0.5:
        messages.insert(0, last)
        last = Message(Role.TOOL, _parts(draw), tool_call_id=draw.choice(IDS))
    tools = (Tool("add", "Adds.", SCHEMA), Tool("get_weather")) if draw.random() < 0.5 else ()
    kind = draw.choice(list(Format))
    schema = draw.choice(SCHEMAS) if kind is Format.JSON_SCHEMA else ""
    sampling = Sampling(1.9, 0.5, 50, ("\n", "a", "b", "c", "d", "e", "f"), draw.choice([1, 2**40]))
    form = ResponseFormat(kind, schema)
    return ChatRequest((*messages, last), tools, response_format=form, sampling=sampling)


@pytest.mark.parametrize("taker", TAKERS)
def test_every_conversation_is_taken(taker: str) -> None:
    dialect, deployment, refuses = TAKERS[taker]
    for seed in range(CASES):
        body = dialect.body(deployment, conversation(seed), stream=bool(seed % 2))
        assert list(refuses(body)) == [], (seed, body)


@pytest.mark.parametrize("taker", TAKERS)
def test_nothing_that_says_something_is_lost(taker: str) -> None:
    dialect, deployment, _ = TAKERS[taker]
    for seed in range(CASES):
        chat = conversation(seed)
        sent = json.dumps(dialect.body(deployment, chat, stream=False), ensure_ascii=False)
        for part in (p for m in chat.messages for p in m.parts):
            if isinstance(part, TextPart) and part.text.strip():
                assert json.dumps(part.text.strip(), ensure_ascii=False)[1:-1] in sent
            elif isinstance(part, ImagePart):
                assert part.url.rpartition(",")[2] in sent


@pytest.mark.parametrize("form", [PRINTED, WORDS, exactly(9), exactly(6)])
def test_ids_are_of_the_form_each_its_own_and_the_same_again(form: IdForm) -> None:
    for seed in range(CASES):
        messages = conversation(seed).messages
        turns = fitted(messages, form)
        called = [c.id for m in turns for c in m.tool_calls]
        assert all(map(form.fits.fullmatch, called))
        assert len({*called}) == len(called)
        assert [m.tool_call_id for m in turns if m.role is Role.TOOL] == called
        assert fitted(messages, form) == turns
        # A conversation that goes on keeps the ids that it has: a provider's cache holds them.
        call = (ToolCall("functions.get_weather:0", "add", "{}"),)
        more = fitted((*messages, Message(Role.ASSISTANT, tool_calls=call)), form)
        assert [c.id for m in more for c in m.tool_calls][: len(called)] == called


def test_an_id_that_fits_stays() -> None:
    assert [CallIds(WORDS).of(i) for i in ("toolu_01A", "call_9-x")] == ["toolu_01A", "call_9-x"]
    assert CallIds(exactly(9)).of("D681PevKs") == "D681PevKs"
    assert CallIds(PRINTED).of("functions.get_weather:0") == "functions.get_weather:0"


def test_results_go_to_their_calls() -> None:
    """The order of the calls counts, the first result of an id, and none is invented silently."""
    call = Message(Role.ASSISTANT, tool_calls=(ToolCall("1", "a", ""), ToolCall("2", "b", "")))
    late = Message(Role.TOOL, (TextPart("two"),), tool_call_id="2")
    told = fitted((call, Message(Role.USER, (TextPart("And?"),)), late, late), WORDS)
    assert [(m.role, m.text) for m in told] == [
        (Role.ASSISTANT, ""),
        (Role.TOOL, NO_RESULT),
        (Role.TOOL, "two"),
        (Role.USER, "And?"),
        (Role.USER, "Result of an earlier tool call:\ntwo"),
    ]


def test_one_id_in_two_turns() -> None:
    turn = (
        Message(Role.ASSISTANT, tool_calls=(ToolCall("0", "a", ""),)),
        Message(Role.TOOL, (TextPart("first"),), tool_call_id="0"),
    )
    again = (turn[0], replace(turn[1], parts=(TextPart("second"),)))
    told = fitted((*turn, *again), WORDS)
    assert [m.text for m in told] == ["", "first", "", "second"]
    assert told[1].tool_call_id == "0" != told[3].tool_call_id
