"""Whatever a body holds, reading it ends in an answer or in an error of the tree."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest

from router.adapters.providers.dialect import Assembler
from router.adapters.providers.dialect import Dialect as Protocol
from router.adapters.providers.reading.fence import Unfencer, unfenced
from router.adapters.providers.sse import EventReader
from router.domain.catalog import Deployment, Price
from router.domain.chat import (
    Answer,
    ChatRequest,
    FinishReason,
    Format,
    Message,
    ResponseFormat,
    Role,
    Sampling,
    TextDelta,
    TextPart,
    Tool,
    ToolCallDelta,
    Unseen,
)
from router.domain.errors import ProviderError
from tests.contract.dialects import CALL, DIALECTS, Dialect

HERE = Deployment("here", "any", "http://localhost", "model-1", Price(1, 1))
TURN = (Message(Role.USER, (TextPart("How much is it?"),)),)
CHATS = (
    ChatRequest(TURN, tools=(Tool("add"),)),
    ChatRequest(TURN, response_format=ResponseFormat(Format.JSON_OBJECT)),
)
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    float("nan"),
    float("inf"),
    10**30,
    "",
    " ",
    "x",
    "stop",
    "\ud83d",
    "\ude00",
    "\x00",
    "```json\n{}\n```",
    [],
    {},
    [None],
    [[]],
    [{}],
    {"x": 1},
    {"type": "text", "text": "t"},
    [{"text": None}],
    {"error": {}},
)
ROUNDS = 400


def dialect_of(spoken: Dialect) -> Protocol:
    module = import_module(f"router.adapters.providers.{spoken.name}")
    made: Protocol = module.DIALECT
    return made


def places(body: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries: Any = ()
    if isinstance(body, dict):
        entries = body.items()
    elif isinstance(body, list):
        entries = enumerate(body)
    for key, value in entries:
        yield (*at, key)
        yield from places(value, (*at, key))


def spoiled(bodies: list[Any], draw: random.Random) -> list[Any]:
    """Returns bodies in which one to three fields hold something else, or are gone."""
    bodies = deepcopy(bodies)
    for _ in range(draw.randint(1, 3)):
        *way, last = draw.choice([*places(bodies)])
        inner: Any = bodies
        for key in way:
            inner = inner[key]
        if isinstance(inner, dict) and draw.random() < 0.2:
            del inner[last]
        else:
            inner[last] = deepcopy(draw.choice(ODD))
    return bodies


def written(body: Any) -> bytes:
    return json.dumps(body).encode("utf-8", "surrogatepass")


def check(assembler: Assembler, deltas: list[Any], answer: Answer) -> None:
    """What was handed out is what is answered, and all of it can be sent on."""
    said = "".join(d.text for d in deltas if isinstance(d, TextDelta))
    calls: dict[int, list[str]] = {}
    for delta in (d for d in deltas if isinstance(d, ToolCallDelta)):
        call = calls.setdefault(delta.index, [delta.id, delta.name, ""])
        call[2] += delta.arguments
    assert said == answer.text
    assert [[c.id, c.name, c.arguments] for c in answer.tool_calls] == [*calls.values()]
    assert [*calls] == [*range(len(calls))]
    assert len({c.id for c in answer.tool_calls}) == len(calls)
    for text in (said, answer.model, *(part for call in calls.values() for part in call)):
        text.encode()
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    assert assembler.finish() == answer


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@pytest.mark.parametrize("seed", range(4))
def test_any_value_in_any_field(spoken: Dialect, seed: int) -> None:
    draw, dialect, answers = random.Random(seed), dialect_of(spoken), 0
    for number in range(ROUNDS):
        chat = CHATS[number % 2]
        finish = spoken.finishes["stop"]
        call = CALL if draw.random() < 0.5 else None
        pieces = spoken.pieces(["Forty", "-two."], call, finish)
        for bodies, live in (([spoken.whole("Forty-two.", call, finish)], False), (pieces, True)):
            assembler, deltas = dialect.assembler(HERE, chat), list[Any]()
            with suppress(ProviderError):
                for body in spoiled(bodies, draw):
                    read = assembler.feed if live else assembler.whole
                    deltas += read(written(body))
                deltas += assembler.close()
                check(assembler, deltas, assembler.finish())
                answers += 1
            assert all(isinstance(d, TextDelta | ToolCallDelta | Unseen) for d in deltas)
    assert answers > ROUNDS / 2


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
def test_any_bytes(spoken: Dialect) -> None:
    draw, dialect = random.Random(7), dialect_of(spoken)
    body = written(spoken.whole("Forty-two.", CALL, spoken.finishes["stop"]))
    for _ in range(ROUNDS):
        wrong = bytearray(body)
        for _ in range(draw.randint(1, 4)):
            wrong[draw.randrange(len(wrong))] = draw.randrange(256)
        assembler = dialect.assembler(HERE, CHATS[0])
        with suppress(ProviderError):
            deltas = [*assembler.whole(bytes(wrong))]
            check(assembler, deltas, assembler.finish())


@pytest.mark.parametrize("kind", [Format.TEXT, Format.JSON_OBJECT])
@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
def test_nothing_follows_a_stop_sequence_in_either_form(spoken: Dialect, kind: Format) -> None:
    sampling = Sampling(stop=("END",))
    chat = replace(CHATS[0], response_format=ResponseFormat(kind), sampling=sampling)
    finish = spoken.finishes["call"]
    bodies = [spoken.whole("{} END", CALL, finish)], spoken.pieces(["{} E", "ND"], CALL, finish)
    for each in bodies:
        assembler, deltas = dialect_of(spoken).assembler(HERE, chat), list[Any]()
        for body in each:
            deltas += (assembler.whole if len(each) == 1 else assembler.feed)(written(body))
        deltas += assembler.close()
        answer = assembler.finish()
        check(assembler, deltas, answer)
        assert (answer.text, answer.tool_calls) == ("{} ", ())
        assert answer.finish_reason is FinishReason.STOP


MOST_S = 20.0
"""Far more than any of these takes, far less than where time grows with the square."""


@pytest.mark.parametrize(
    "content", [b"\xff" * 6_000_000, b"a\xff" * 3_000_000, b"\\ud83d" * 1_000_000]
)
def test_wrong_characters_take_a_time_that_grows_with_the_body(content: bytes) -> None:
    body = b'{"choices":[{"message":{"content":"' + content + b'"},"finish_reason":"stop"}]}'
    assembler = dialect_of(DIALECTS[0]).assembler(HERE, CHATS[0])
    began_s = time.monotonic()
    assert len("".join(d.text for d in assembler.whole(body) if isinstance(d, TextDelta))) >= 10**6
    assert time.monotonic() - began_s < MOST_S


def test_a_body_of_too_many_pieces_is_refused() -> None:
    assembler = dialect_of(DIALECTS[0]).assembler(HERE, CHATS[0])
    with pytest.raises(ProviderError):
        [*assembler.whole(b"[" + b"{}," * 2_000_000 + b"{}]")]


@pytest.mark.parametrize("seed", range(3))
def test_a_fence_does_not_depend_on_where_the_text_is_cut(seed: int) -> None:
    draw = random.Random(seed)
    signs = ("`", "```", "~~~", "json", "\n", " ", "{", "}", '"', "a", "\r\n", "\t")
    for _ in range(2_000):
        text = "".join(draw.choice(signs) for _ in range(draw.randint(0, 14)))
        wholly, streamed = Unfencer(), Unfencer()
        said = wholly.feed(text) + wholly.close()
        assert "".join(map(streamed.feed, text)) + streamed.close() == said
        assert said in text
        body = unfenced(text)
        assert body in text
        if not text.lstrip().startswith(("```", "~~~")):
            assert said == text == body


@pytest.mark.parametrize("seed", range(3))
def test_events_do_not_depend_on_where_any_body_is_cut(seed: int) -> None:
    draw = random.Random(seed)
    signs = (b"data:", b"data: ", b"event: error", b"\n", b"\r", b"\r\n", b":", b"{}", b"x", b"id")
    for _ in range(2_000):
        body = b"".join(draw.choice(signs) for _ in range(draw.randint(0, 20)))
        wholly, cut = EventReader(10_000), EventReader(10_000)
        events = [*wholly.feed(body), *wholly.close()]
        pieces = [event for at in range(len(body)) for event in cut.feed(body[at : at + 1])]
        assert [*pieces, *cut.close()] == events


@pytest.mark.parametrize("seed", range(3))
def test_calls_in_any_pieces_are_what_their_deltas_join_to(seed: int) -> None:
    draw, dialect = random.Random(seed), dialect_of(DIALECTS[0])
    end = {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}
    for _ in range(1_000):
        assembler, deltas = dialect.assembler(HERE, CHATS[0]), list[Any]()
        for _ in range(draw.randint(1, 8)):
            function = {
                "name": draw.choice((None, "", "add", "ad", "d", "mul")),
                "arguments": draw.choice((None, "", "{}", '{"a":', "1}", '{"a":1}', {"a": 1}, " ")),
            }
            piece = {
                "index": draw.choice((None, 0, 1, 2)),
                "id": draw.choice((None, "", "a", "b")),
                "function": function,
            }
            body = {"choices": [{"delta": {"tool_calls": [piece]}}]}
            deltas += assembler.feed(written(body))
        deltas += assembler.feed(written(end))
        with suppress(ProviderError):
            deltas += assembler.close()
            check(assembler, deltas, assembler.finish())
