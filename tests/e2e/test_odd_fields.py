"""Fields that are not as they should be cost no answer that is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.dialects import DIALECTS
from tests.e2e.odd_answers import Odd, odd_router
from tests.e2e.wire import Asked, Reply, events, on_uvloop, raw, whole

Json = dict[str, Any]
SPOKEN = {spoken.name: spoken for spoken in DIALECTS}
SAID = "Forty-two."
HALVES = ("\ud83d", "\ude00")


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def openai(*choices: Json, **more: Any) -> Odd:
    """Returns choices as chunks of a stream, or as one message; `content` and more of a delta."""

    def reply(asked: Asked) -> Reply:
        if not asked.streams:
            joined = {"finish_reason": "stop"}
            for choice in choices:
                joined |= {"message" if k == "delta" else k: v for k, v in choice.items()}
            return whole({"choices": [joined]} | more)
        end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
        return events(*({"choices": [c]} | more for c in choices), end, done=True)

    return reply


def said(content: Any, **more: Any) -> Json:
    return {"delta": {"content": content} | more}


PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
    {"type": "text", "text": "Forty"},
    {"type": "reference", "reference_ids": [1]},
    {"type": "a_kind_of_tomorrow", "text": "not said"},
    7,
    None,
    {"type": "text", "text": None},
    {"type": "text", "text": "-two."},
]
OPENAI: dict[str, Odd] = {
    "parts": openai(said(PARTS)),
    "one part": openai(said({"type": "text", "text": SAID})),
    "logprob null": openai(
        said(SAID) | {"logprobs": {"content": [{"token": "x", "logprob": None}, None, 5]}}
    ),
    "logprobs odd": openai(said(SAID) | {"logprobs": [1, 2]}),
    "tool calls odd": openai(said(SAID, tool_calls=[{}, None, 5, {"function": None}])),
    "tool calls null": openai(said(SAID, tool_calls=None, function_call=None, refusal=None)),
    "tool calls text": openai(said(SAID, tool_calls="")),
    "error {}": openai(said(SAID), error={}),
    "error empty": openai(said(SAID), error=""),
    "error null": openai(said(SAID), error=None),
    "error false": openai(said(SAID), error=False),
    "error of nothing": openai(said(SAID), error={"message": "", "code": None}),
    "choice's error {}": openai(said(SAID) | {"error": {}}),
    "model odd": openai(said(SAID), model=5, id=None, created="x", object=[]),
    "usage odd": openai(said(SAID), usage="none"),
    "usage a list": openai(said(SAID), usage=[{"prompt_tokens": 3}]),
    "usage's details": openai(
        said(SAID), usage={"prompt_tokens": {}, "completion_tokens_details": [None]}
    ),
    "role odd": openai(said(SAID, role=None, name=7, audio={"id": None}, annotations="x")),
    "reasoning odd": openai(said(SAID, reasoning=7, reasoning_content=None)),
    "more choices": openai(said(SAID) | {"index": 0}),
    "NaN": lambda asked: raw_json(
        asked,
        b'{"choices":[{%s:{"content":"Forty-two."},"finish_reason":"stop",'
        b'"logprobs":{"content":[{"logprob":NaN}]}}]}',
    ),
    "logprob huge": lambda asked: raw_json(
        asked,
        b'{"choices":[{%s:{"content":"Forty-two."},"finish_reason":"stop",'
        b'"logprobs":{"content":[{"logprob":-' + b"9" * 400 + b"}]}}]}",
    ),
    "older completions": openai({"text": SAID, "index": 0}),
    "text within": openai(said([{"type": "text", "text": {"value": SAID}}])),
    "control characters": lambda asked: raw_json(
        asked, b'{"choices":[{%s:{"content":"Forty-two."},"finish_reason":"stop"}],"x":"a\x01\tb"}'
    ),
}


def raw_json(asked: Asked, body: bytes) -> Reply:
    """Returns exact bytes in which %s stands for the field of a message."""
    if not asked.streams:
        return whole(body.replace(b"%s", b'"message"'))
    return events(body.replace(b"%s", b'"delta"'), done=True)


def anthropic(*blocks: Any, **more: Any) -> Odd:
    def reply(asked: Asked) -> Reply:
        if not asked.streams:
            return whole({"content": [*blocks], "stop_reason": "end_turn"} | more)
        begun = [
            {"type": "content_block_start", "index": i, "content_block": b} | more
            for i, b in enumerate(blocks)
        ]
        start = {"type": "message_start", "message": {"content": None} | more}
        end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
        return events(start, *begun, end, {"type": "message_stop"})

    return reply


TEXT = {"type": "text", "text": SAID}
ANTHROPIC: dict[str, Odd] = {
    "thinking": anthropic({"type": "thinking", "thinking": "Hm.", "signature": None}, TEXT),
    "unknown blocks": anthropic({"type": "a_kind_of_tomorrow", "text": "no"}, TEXT, {}, None, 5),
    "search results": anthropic({"type": "web_search_tool_result", "content": [{}]}, TEXT),
    "text null": anthropic({"type": "text", "text": None}, TEXT),
    "citations odd": anthropic(TEXT | {"citations": "x"}),
    "content of text": lambda asked: (
        events(
            {"type": "message_start", "message": {"content": SAID}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
            {"type": "message_stop"},
        )
        if asked.streams
        else whole({"content": SAID, "stop_reason": "end_turn"})
    ),
    "error {}": anthropic(TEXT, error={}),
    "error null": anthropic(TEXT, error=None),
    "usage odd": anthropic(TEXT, usage=7),
    "model odd": anthropic(TEXT, model=None, id=5, container=None, stop_sequence=3),
    "odd events": lambda _: events(
        {"type": "ping"},
        {"type": "message_start", "message": None},
        {"type": "content_block_start", "index": None, "content_block": None},
        {
            "type": "content_block_delta",
            "index": "0",
            "delta": {"type": "text_delta", "text": SAID},
        },
        {"type": "content_block_delta", "delta": None},
        {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": 5}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": None}},
        {"type": "content_block_stop"},
        {"type": None},
        {"type": 7},
        {},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": None},
        {"type": "message_stop"},
    ),
}


def as_it_is(body: Any) -> Odd:
    return lambda asked: events(body) if asked.streams else whole(body)


def gemini(*parts: Any, candidate: Any = None, **more: Any) -> Odd:
    body = {
        "candidates": [
            {"content": {"parts": [*parts]}, "finishReason": "STOP"} | (candidate or {}),
            {"content": {"parts": [{"text": "another"}]}, "index": 1},
        ]
    } | more
    return as_it_is(body)


PART = {"text": SAID}
GEMINI: dict[str, Odd] = {
    "thoughts": gemini({"text": "Hm.", "thought": True}, PART),
    "unknown parts": gemini(
        {"executableCode": {"code": "x"}}, {"inlineData": None}, {}, None, PART
    ),
    "text null": gemini({"text": None}, PART),
    "call null": gemini(PART | {"functionCall": None, "thoughtSignature": 5}),
    "logprobs NaN": as_it_is(
        b'{"candidates":[{"content":{"parts":[{"text":"Forty-two."}]},"finishReason":"STOP",'
        b'"avgLogprobs":NaN}]}'
    ),
    "logprobs huge": as_it_is(
        b'{"candidates":[{"content":{"parts":[{"text":"Forty-two."}]},"finishReason":"STOP",'
        b'"index":0,"avgLogprobs":-' + b"9" * 400 + b"}]}"
    ),
    "logprobs text": gemini(PART, candidate={"avgLogprobs": "NaN", "index": None}),
    "ratings odd": gemini(PART, candidate={"safetyRatings": 5, "citationMetadata": "x"}),
    "feedback null": gemini(PART, promptFeedback=None),
    "feedback unspecified": gemini(
        PART, promptFeedback={"blockReason": "BLOCK_REASON_UNSPECIFIED"}
    ),
    "usage odd": gemini(PART, usageMetadata=[]),
    "error {}": gemini(PART, error={}),
    "model odd": gemini(PART, modelVersion=None, responseId=7),
    "other names": as_it_is(
        {"candidates": {"content": [{"parts": PART}], "finish_reason": "STOP"}, "model_version": ""}
    ),
}
ODD = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI}


@pytest.mark.parametrize("name", ODD)
@on_uvloop
async def test_what_is_not_needed_may_be_anything(name: str, tmp_path: Path) -> None:
    async with odd_router(tmp_path, SPOKEN[name], ODD[name]) as asker:
        for case in ODD[name]:
            for seen in await asker.both(case):
                assert (case, seen.text, seen.finish) == (case, SAID, "STOP")


def spoken_pieces(name: str, texts: tuple[str, ...]) -> Odd:
    spoken = SPOKEN[name]
    finish = spoken.finishes["stop"]

    def reply(asked: Asked) -> Reply:
        if asked.streams:
            return events(*spoken.pieces(texts, None, finish), done=spoken.end_mark != b"")
        return whole(spoken.whole("".join(texts), None, finish))

    return reply


def in_bytes(name: str, texts: tuple[bytes, ...]) -> Odd:
    """Returns texts written as the bytes they are, whatever those are."""

    def exact(body: Any) -> bytes:
        return json.dumps(body).encode()

    def reply(asked: Asked) -> Reply:
        spoken, finish = SPOKEN[name], SPOKEN[name].finishes["stop"]
        marks = tuple(f"<{number}>" for number in range(len(texts)))
        bodies = (
            [exact(body) for body in spoken.pieces(marks, None, finish)]
            if asked.streams
            else [exact(spoken.whole("".join(marks), None, finish))]
        )
        for mark, text in zip(marks, texts, strict=True):
            bodies = [body.replace(mark.encode(), text) for body in bodies]
        return events(*bodies, done=spoken.end_mark != b"") if asked.streams else whole(bodies[0])

    return reply


CHARACTERS: dict[str, tuple[tuple[str, ...], str]] = {
    "two halves": (("Yes ", *HALVES, "!"), "Yes \U0001f600!"),
    "two halves with text": (("Yes \ud83d", "\ude00!"), "Yes \U0001f600!"),
    "a skull": (("\ud83d", "\udc80"), "\U0001f480"),
    "a high half alone": (("Yes \ud83d", "!"), "Yes \ufffd!"),
    "a low half alone": (("Yes ", "\ude00!"), "Yes \ufffd!"),
    "a half at the end": (("Yes", "\ud83d"), "Yes\ufffd"),
    "halves the wrong way": (("\ude00\ud83d", "!"), "\ufffd\ufffd!"),
    "NUL": (("a\x00b", "c"), "a\x00bc"),
    "nothing odd": (("\u4f60\u597d", "\U0001f600"), "\u4f60\u597d\U0001f600"),
}
BYTES: dict[str, tuple[tuple[bytes, ...], str]] = {
    "bytes apart": ((b"Yes \xf0\x9f", b"\x98\x80!"), "Yes \U0001f600!"),
    "bytes one by one": ((b"\xe2", b"\x82", b"\xac"), "\u20ac"),
    "bytes of halves": ((b"\xed\xa0\xbd", b"\xed\xb8\x80"), "\U0001f600"),
    "a wrong byte": ((b"Yes \xff", b"!"), "Yes \ufffd!"),
    "unended": ((b"Yes", b"\xf0\x9f"), "Yes\ufffd"),
}


@pytest.mark.parametrize("name", SPOKEN)
@on_uvloop
async def test_characters_in_halves(name: str, tmp_path: Path) -> None:
    odd = {f"{case}": spoken_pieces(name, texts) for case, (texts, _) in CHARACTERS.items()}
    odd |= {case: in_bytes(name, texts) for case, (texts, _) in BYTES.items()}
    expected = {case: text for case, (_, text) in [*CHARACTERS.items(), *BYTES.items()]}
    async with odd_router(tmp_path, SPOKEN[name], odd) as asker:
        for case, text in expected.items():
            for seen in await asker.both(case):
                assert (case, seen.text) == (case, text)


def bodies_of_depth(name: str, depth: int) -> Odd:
    deep = b"[" * depth + b"]" * depth
    body = json.dumps(SPOKEN[name].whole(SAID, None, SPOKEN[name].finishes["stop"])).encode()
    body = body[:-1] + b', "x": ' + deep + b"}"
    return as_it_is(body)


@pytest.mark.parametrize("name", SPOKEN)
@on_uvloop
async def test_what_is_too_deep_is_a_failed_attempt(name: str, tmp_path: Path) -> None:
    odd = {"deep": bodies_of_depth(name, 100_000)}
    async with odd_router(tmp_path, SPOKEN[name], odd) as asker:
        for seen in await asker.both("deep"):
            assert (seen.is_spare, seen.first.why) == (True, "provider_malformed")


def chunks(*choices: Json, done: bool = True) -> Odd:
    return lambda _: events(*({"choices": [choice]} for choice in choices), done=done)


END = {"delta": {}, "finish_reason": "stop"}
FORMS: dict[str, Odd] = {
    "the whole beside each piece": chunks(
        {"delta": {"content": "Forty"}, "message": {"content": "Forty"}},
        {"delta": {"content": "-two."}, "message": {"content": SAID}},
        {"delta": {"content": ""}, "message": {"content": SAID}, "finish_reason": "stop"},
    ),
    "the whole beside null": chunks(
        {"delta": {"content": "Forty"}},
        {"delta": {"content": "-two."}},
        {"delta": None, "message": {"content": SAID}, "finish_reason": "stop"},
    ),
    "the whole at the end": chunks(
        {"delta": {"content": "Forty"}},
        {"delta": {"content": "-two."}},
        {"message": {"content": SAID}, "finish_reason": "stop"},
    ),
    "the whole so far": chunks(
        {"message": {"content": "Forty"}},
        {"message": {"content": SAID}, "finish_reason": "stop"},
    ),
    "the whole alone": chunks({"message": {"content": SAID}, "finish_reason": "stop"}),
    "the whole beside nothing": chunks(
        {"delta": {}, "message": {"content": SAID}, "finish_reason": "stop"}
    ),
    "older pieces": chunks({"text": "Forty"}, {"text": "-two.", "finish_reason": "stop"}),
    "two choices in turn": chunks(
        {"index": 0, "delta": {"content": "Forty"}},
        {"index": 1, "delta": {"content": "No."}},
        {"index": 0, "delta": {"content": "-two."}},
        {"index": 1, "delta": {}, "finish_reason": "length"},
        {"index": 0} | END,
    ),
    "the end in the delta": chunks(
        {"delta": {"content": SAID}}, {"delta": {"finish_reason": "stop"}}
    ),
    "pieces and lines": lambda _: raw(
        b'{"choices": [{"delta": {"content": "Forty"}}]}\n'
        b'{"choices": [{"delta": {"content": "-two."}, "finish_reason": "stop"}]}\n',
        kind="application/x-ndjson",
    ),
}


@on_uvloop
async def test_both_forms_at_once_double_nothing(tmp_path: Path) -> None:
    async with odd_router(tmp_path, SPOKEN["openai"], FORMS) as asker:
        for case in FORMS:
            for seen in await asker.both(case):
                assert (case, seen.text, seen.finish) == (case, SAID, "STOP")
