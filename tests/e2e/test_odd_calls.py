"""Tool calls in the pieces that servers send: which piece belongs to which call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.dialects import DIALECTS
from tests.e2e.odd_answers import TOOLS, Odd, Seen, odd_router
from tests.e2e.wire import events, on_uvloop, whole

Json = dict[str, Any]
Calls = list[tuple[str | None, str, Any]]
SPOKEN = {spoken.name: spoken for spoken in DIALECTS}
PARIS, LONDON = '{"city":"Paris"}', '{"city":"London"}'
TWO: Calls = [("a", "get_weather", {"city": "Paris"}), ("b", "get_weather", {"city": "London"})]
ONE: Calls = [("a", "get_weather", {"city": "Paris"})]
UNNAMED: Calls = [(None, name, arguments) for _, name, arguments in TWO]


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def piece(index: Any = None, call_id: Any = None, name: Any = None, arguments: Any = None) -> Json:
    """Returns a piece of a call; what is None is not there."""
    function = {"name": name, "arguments": arguments}
    made = {
        "index": index,
        "id": call_id,
        "function": {k: v for k, v in function.items() if v is not None},
    }
    return {k: v for k, v in made.items() if v not in (None, {})}


def deltas(*chunks: Json | list[Json]) -> Odd:
    """Returns a stream of OpenAI's: each chunk is a piece, several, or a delta with others."""
    made = []
    for chunk in chunks:
        is_delta = isinstance(chunk, dict) and "delta" in chunk
        delta = (
            chunk["delta"]
            if is_delta
            else {"tool_calls": chunk if isinstance(chunk, list) else [chunk]}
        )
        made.append({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    return lambda _: events(*made, end, done=True)


OPENAI: dict[str, tuple[Odd, Calls]] = {
    "index 0 twice": (
        deltas(piece(0, "a", "get_weather", PARIS), piece(0, "b", "get_weather", LONDON)),
        TWO,
    ),
    "index 0 twice in one chunk": (
        deltas([piece(0, "a", "get_weather", PARIS), piece(0, "b", "get_weather", LONDON)]),
        TWO,
    ),
    "index 0 twice, no ids": (
        deltas(piece(0, "", "get_weather", PARIS), piece(0, "", "get_weather", LONDON)),
        UNNAMED,
    ),
    "index 0 twice, in pieces": (
        deltas(
            piece(0, "a", "get_weather", ""),
            piece(0, None, None, '{"city":'),
            piece(0, None, None, '"Paris"}'),
            piece(0, "b", "get_weather", ""),
            piece(0, None, None, '{"city":'),
            piece(0, None, None, '"London"}'),
        ),
        TWO,
    ),
    "one id for all": (
        deltas(piece(0, "a", "get_weather", PARIS), piece(1, "a", "get_weather", LONDON)),
        [TWO[0], (None, *TWO[1][1:])],
    ),
    "one id for all, in pieces": (
        deltas(
            piece(0, "a", "get_weather", ""),
            piece(0, "a", None, PARIS),
            piece(1, "a", "get_time", ""),
            piece(1, "a", None, LONDON),
        ),
        [TWO[0], (None, "get_time", {"city": "London"})],
    ),
    "id with every piece": (
        deltas(
            piece(0, "a", "get_weather", '{"ci'),
            piece(0, "a", None, 'ty":"Pa'),
            piece(0, "a", None, 'ris"}'),
        ),
        ONE,
    ),
    "id and name with every piece, no index": (
        deltas(
            piece(None, "a", "get_weather", '{"ci'),
            piece(None, "a", "get_weather", 'ty":"Pa'),
            piece(None, "a", "get_weather", 'ris"}'),
        ),
        ONE,
    ),
    "name with every piece, no index, no id": (
        deltas(
            piece(None, None, "get_weather", '{"city":'),
            piece(None, None, "get_weather", '"Paris"}'),
            piece(None, None, "get_weather", '{"city":"Lon'),
            piece(None, None, "get_weather", 'don"}'),
        ),
        UNNAMED,
    ),
    "another id with every piece": (
        deltas(
            piece(0, "a", "get_weather", '{"city":'),
            piece(0, "x", None, '"Paris'),
            piece(0, "y", None, '"}'),
        ),
        ONE,
    ),
    "another id and the name with every piece": (
        deltas(
            piece(0, "a", "get_weather", '{"city":'),
            piece(0, "x", "get_weather", '"Paris'),
            piece(0, "y", "get_weather", '"}'),
        ),
        ONE,
    ),
    "index counts pieces": (
        deltas(
            piece(0, "a", "get_weather", '{"city":'),
            piece(1, None, None, '"Paris'),
            piece(2, None, None, '"}'),
        ),
        ONE,
    ),
    "index counts pieces, id told": (
        deltas(
            piece(0, "a", "get_weather", '{"city":'),
            piece(1, "a", None, '"Paris'),
            piece(2, "a", None, '"}'),
        ),
        ONE,
    ),
    "name late": (
        deltas(
            piece(0, "a"),
            piece(0, None, None, '{"city":'),
            piece(0, None, "get_weather", '"Paris"}'),
        ),
        ONE,
    ),
    "name last": (
        deltas(piece(0, "a", "", PARIS), piece(0, "a", "get_weather", "")),
        ONE,
    ),
    "name in pieces": (
        deltas(piece(0, "a", "get_"), piece(0, None, "weather"), piece(0, None, None, PARIS)),
        ONE,
    ),
    "id late": (
        deltas(piece(0, None, "get_weather", ""), piece(0, "a", None, PARIS)),
        [(None, *ONE[0][1:])],
    ),
    "interleaved": (
        deltas(
            [piece(0, "a", "get_weather", ""), piece(1, "b", "get_weather", "")],
            [piece(0, None, None, '{"city":'), piece(1, None, None, '{"city":')],
            piece(1, None, None, '"London"}'),
            piece(0, None, None, '"Paris"}'),
        ),
        TWO,
    ),
    "interleaved by id": (
        deltas(
            [piece(None, "a", "get_weather", ""), piece(None, "b", "get_weather", "")],
            [piece(None, "a", None, '{"city":'), piece(None, "b", None, '{"city":')],
            piece(None, "b", None, '"London"}'),
            piece(None, "a", None, '"Paris"}'),
        ),
        TWO,
    ),
    "whole, then an empty piece": (
        deltas(piece(0, "a", "get_weather", PARIS), piece(0, "a", "get_weather", "")),
        ONE,
    ),
    "whole, then again": (
        deltas(
            piece(0, "a", "get_weather", '{"city":'),
            piece(0, None, None, '"Paris"}'),
            piece(0, None, None, PARIS),
        ),
        ONE,
    ),
    "empty object first": (
        deltas(piece(0, "a", "get_weather", "{}"), piece(0, None, None, PARIS)),
        ONE,
    ),
    "an object": (deltas(piece(0, "a", "get_weather", {"city": "Paris"})), ONE),
    "no arguments": (deltas(piece(0, "a", "get_time")), [("a", "get_time", {})]),
    "empty arguments": (
        deltas(piece(0, "a", "get_time", ""), piece(0, None, None, "")),
        [("a", "get_time", {})],
    ),
    "null arguments": (
        deltas([{"index": 0, "id": "a", "function": {"name": "get_time", "arguments": None}}]),
        [("a", "get_time", {})],
    ),
    "null as text": (deltas(piece(0, "a", "get_time", "null")), [("a", "get_time", {})]),
    "no arguments, twice": (
        deltas([piece(0, "a", "get_time"), piece(0, "b", "get_time")]),
        [("a", "get_time", {}), ("b", "get_time", {})],
    ),
    "two in one chunk": (
        deltas([piece(None, "a", "get_weather", PARIS), piece(None, "b", "get_weather", LONDON)]),
        TWO,
    ),
    "two in one chunk, no ids": (
        deltas([piece(None, None, "get_weather", PARIS), piece(None, None, "get_weather", LONDON)]),
        UNNAMED,
    ),
    "older form": (
        deltas(
            {"delta": {"function_call": {"name": "get_weather", "arguments": ""}}},
            {"delta": {"function_call": {"arguments": '{"city":'}}},
            {"delta": {"function_call": {"arguments": '"Paris"}'}}},
        ),
        [(None, *ONE[0][1:])],
    ),
    "pieces without a function": (
        deltas(piece(0, "a", "get_weather", PARIS), {"index": 0}, {"index": 0, "id": "a"}, []),
        ONE,
    ),
    "one object for a list": (
        deltas({"delta": {"tool_calls": piece(0, "a", "get_weather", PARIS)}}),
        ONE,
    ),
    "no function around it": (
        deltas([{"id": "a", "name": "get_weather", "arguments": PARIS}]),
        ONE,
    ),
    "index as text": (
        deltas(piece("0", "a", "get_weather", '{"city":'), piece(0.0, None, None, '"Paris"}')),
        ONE,
    ),
}


def message(*calls: Json, **more: Any) -> Odd:
    told = {"content": None, "tool_calls": [*calls]} | more
    return lambda _: whole({"choices": [{"message": told, "finish_reason": "tool_calls"}]})


OPENAI_WHOLE: dict[str, tuple[Odd, Calls]] = {
    "one index": (
        message(piece(0, "a", "get_weather", PARIS), piece(0, "b", "get_weather", LONDON)),
        TWO,
    ),
    "one id": (
        message(piece(0, "a", "get_weather", PARIS), piece(1, "a", "get_weather", LONDON)),
        [TWO[0], (None, *TWO[1][1:])],
    ),
    "no ids": (
        message(piece(None, None, "get_weather", PARIS), piece(None, "", "get_weather", LONDON)),
        UNNAMED,
    ),
    "alike": (
        message(piece(None, None, "get_weather", PARIS), piece(None, None, "get_weather", PARIS)),
        [UNNAMED[0], UNNAMED[0]],
    ),
    "an object": (message(piece(None, "a", "get_weather", {"city": "Paris"})), ONE),
    "no arguments": (message(piece(None, "a", "get_time")), [("a", "get_time", {})]),
    "empty arguments": (message(piece(None, "a", "get_time", "")), [("a", "get_time", {})]),
    "older form": (
        message(function_call={"name": "get_weather", "arguments": PARIS}, tool_calls=None),
        [(None, *ONE[0][1:])],
    ),
}


def block(index: Any, call_id: Any, name: str, *inputs: Any, start: Any = None) -> list[Json]:
    """Returns the events of a call of Anthropic's."""
    use = {"type": "tool_use", "id": call_id, "name": name, "input": {} if start is None else start}
    pieces = [{"type": "input_json_delta", "partial_json": text} for text in inputs]
    at = {} if index is None else {"index": index}
    return [
        {"type": "content_block_start", "content_block": use} | at,
        *({"type": "content_block_delta", "delta": each} | at for each in pieces),
        {"type": "content_block_stop"} | at,
    ]


def blocks(*groups: list[Json], stop: str = "tool_use") -> Odd:
    start = {"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 3}}}
    end = [{"type": "message_delta", "delta": {"stop_reason": stop}}, {"type": "message_stop"}]
    return lambda _: events(start, *(each for group in groups for each in group), *end)


ANTHROPIC: dict[str, tuple[Odd, Calls]] = {
    "index 0 twice": (
        blocks(
            block(0, "a", "get_weather", '{"city":', '"Paris"}'),
            block(0, "b", "get_weather", LONDON),
        ),
        TWO,
    ),
    "no index": (
        blocks(block(None, "a", "get_weather", PARIS), block(None, "b", "get_weather", LONDON)),
        TWO,
    ),
    "no ids": (
        blocks(block(0, None, "get_weather", PARIS), block(1, "", "get_weather", LONDON)),
        UNNAMED,
    ),
    "one id": (
        blocks(block(0, "a", "get_weather", PARIS), block(1, "a", "get_weather", LONDON)),
        [TWO[0], (None, *TWO[1][1:])],
    ),
    "interleaved": (
        blocks(
            block(0, "a", "get_weather", '{"city":')[:2],
            block(1, "b", "get_weather", '{"city":')[:2],
            block(0, "a", "get_weather", '"Paris"}')[1:],
            block(1, "b", "get_weather", '"London"}')[1:],
        ),
        TWO,
    ),
    "input with the start": (blocks(block(0, "a", "get_weather", start={"city": "Paris"})), ONE),
    "input with the start and again": (
        blocks(block(0, "a", "get_weather", PARIS, start={"city": "Paris"})),
        ONE,
    ),
    "input as an object": (blocks(block(0, "a", "get_weather", {"city": "Paris"})), ONE),
    "no input": (blocks(block(0, "a", "get_time")), [("a", "get_time", {})]),
    "empty input": (blocks(block(0, "a", "get_time", "", "")), [("a", "get_time", {})]),
    "the provider's own tool between": (
        blocks(
            [
                {
                    "type": "content_block_start",
                    "index": 0,
                    "content_block": {"type": "server_tool_use", "id": "s", "name": "search"},
                },
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "input_json_delta", "partial_json": '{"q": 1}'},
                },
            ],
            block(1, "a", "get_weather", PARIS),
        ),
        ONE,
    ),
    "another end": (blocks(block(0, "a", "get_weather", PARIS), stop="end_turn"), ONE),
}


def used(*uses: Json) -> Odd:
    content = [{"type": "tool_use"} | use for use in uses]
    return lambda _: whole({"content": content, "stop_reason": "tool_use"})


ANTHROPIC_WHOLE: dict[str, tuple[Odd, Calls]] = {
    "one id": (
        used(
            {"id": "a", "name": "get_weather", "input": {"city": "Paris"}},
            {"id": "a", "name": "get_weather", "input": {"city": "London"}},
        ),
        [TWO[0], (None, *TWO[1][1:])],
    ),
    "no input": (used({"id": "a", "name": "get_time"}), [("a", "get_time", {})]),
    "null input": (used({"id": "a", "name": "get_time", "input": None}), [("a", "get_time", {})]),
    "input as text": (used({"id": "a", "name": "get_weather", "input": PARIS}), ONE),
    "no id": (
        used({"name": "get_weather", "input": {"city": "Paris"}}),
        [(None, *ONE[0][1:])],
    ),
}


def parts(*calls: Json, stream: bool, finish: str = "STOP") -> Odd:
    def candidate(found: list[Json], end: str | None) -> Json:
        content = {"parts": [{"functionCall": call} for call in found]}
        return {"candidates": [{"content": content, "finishReason": end}]}

    if not stream:
        return lambda _: whole(candidate([*calls], finish))
    return lambda _: events(*(candidate([call], None) for call in calls), candidate([], finish))


def gemini(*, stream: bool) -> dict[str, tuple[Odd, Calls]]:
    paris = {"name": "get_weather", "args": {"city": "Paris"}}
    london = {"name": "get_weather", "args": {"city": "London"}}
    return {
        "no ids": (parts(paris, london, stream=stream), UNNAMED),
        "alike": (parts(paris, paris, stream=stream), [UNNAMED[0], UNNAMED[0]]),
        "ids": (parts(paris | {"id": "a"}, london | {"id": "b"}, stream=stream), TWO),
        "one id": (
            parts(paris | {"id": "a"}, london | {"id": "a"}, stream=stream),
            [TWO[0], (None, *TWO[1][1:])],
        ),
        "no args": (parts({"name": "get_time"}, stream=stream), [(None, "get_time", {})]),
        "null args": (
            parts({"name": "get_time", "args": None}, stream=stream),
            [(None, "get_time", {})],
        ),
        "args as text": (
            parts({"name": "get_weather", "args": PARIS}, stream=stream),
            [UNNAMED[0]],
        ),
        "another end": (
            parts(paris, stream=stream, finish="MALFORMED_FUNCTION_CALL"),
            [UNNAMED[0]],
        ),
    }


STREAMS = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": gemini(stream=True)}
WHOLES = {"openai": OPENAI_WHOLE, "anthropic": ANTHROPIC_WHOLE, "gemini": gemini(stream=False)}


def check(name: str, seen: Seen, expected: Calls) -> None:
    assert not seen.reason, name
    found = [(i, n, json.loads(a)) for i, n, a in seen.calls]
    assert (name, [call[1:] for call in found]) == (name, [call[1:] for call in expected])
    ids = [call[0] for call in found]
    assert (name, len({*ids})) == (name, len(ids))
    told = [(i, e[0]) for i, e in zip(ids, expected, strict=True) if e[0] is not None]
    assert all(i == e for i, e in told), (name, ids)
    assert seen.finish == "TOOL_CALLS", name


@pytest.mark.parametrize("name", STREAMS)
@on_uvloop
async def test_streamed_calls_are_told_apart(name: str, tmp_path: Path) -> None:
    cases = STREAMS[name]
    odd = {case: reply for case, (reply, _) in cases.items()}
    async with odd_router(tmp_path, SPOKEN[name], odd, more=", tools: true") as asker:
        for case, (_, expected) in cases.items():
            check(case, await asker.live(case, tools=TOOLS), expected)
        # Who asks for a whole answer and is sent a stream gets the same calls.
        for case, (_, expected) in cases.items():
            check(case, await asker.whole(case, tools=TOOLS), expected)


@pytest.mark.parametrize("name", WHOLES)
@on_uvloop
async def test_calls_of_a_whole_answer(name: str, tmp_path: Path) -> None:
    cases = WHOLES[name]
    odd = {case: reply for case, (reply, _) in cases.items()}
    async with odd_router(tmp_path, SPOKEN[name], odd, more=", tools: true") as asker:
        for case, (_, expected) in cases.items():
            check(case, await asker.whole(case, tools=TOOLS), expected)
            check(case, await asker.live(case, tools=TOOLS), expected)
