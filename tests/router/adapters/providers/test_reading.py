"""Answers in the forms that servers are known to give."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from router.adapters.providers.anthropic import Anthropic
from router.adapters.providers.gemini import Gemini
from router.adapters.providers.openai import OpenAI
from router.domain.catalog import Deployment, Price
from router.domain.chat import (
    Answer,
    ChatRequest,
    FinishReason,
    Message,
    Role,
    TextDelta,
    TextPart,
    ToolCall,
    Usage,
)
from router.domain.errors import ProviderUnavailable

HERE = Deployment("here", "any", "http://localhost", "model-1", Price(1, 1))
CHAT = ChatRequest((Message(Role.USER, (TextPart("How much is it?"),)),))
GUESS = CHAT.estimated_input_tokens


def _openai(message: dict[str, Any], **more: Any) -> Answer:
    usage = more.pop("usage", None)
    body = {"choices": [{"message": message, "finish_reason": "stop"} | more], "usage": usage}
    return _whole(OpenAI(), body)


def _whole(dialect: OpenAI | Anthropic | Gemini, body: Any, chat: ChatRequest = CHAT) -> Answer:
    assembler = dialect.assembler(HERE, chat)
    list(assembler.whole(json.dumps(body).encode()))
    return assembler.finish()


def _streamed(dialect: OpenAI | Anthropic | Gemini, *events: dict[str, Any]) -> Answer:
    assembler = dialect.assembler(HERE, CHAT)
    for event in events:
        list(assembler.feed(json.dumps(event).encode()))
    return assembler.finish()


def test_openai_log_probabilities() -> None:
    tokens = {"content": [{"logprob": -0.5}, {"logprob": -1.5}]}
    assert _openai({"content": "x"}, logprobs=tokens).mean_logprob == pytest.approx(-1.0)
    assert _openai({"content": "x"}, logprobs=None).mean_logprob is None
    halves = [
        {"choices": [{"delta": {"content": "x"}, "logprobs": {"content": [{"logprob": p}]}}]}
        for p in (-0.5, -1.5)
    ]
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    assert _streamed(OpenAI(), *halves, end).mean_logprob == pytest.approx(-1.0)


def test_openai_refusal() -> None:
    whole = _openai({"content": None, "refusal": "I won't."})
    assert (whole.text, whole.refusal) == ("I won't.", True)
    pieces = [{"choices": [{"delta": {"refusal": text}}]} for text in ("I ", "won't.")]
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    answer = _streamed(OpenAI(), *pieces, end)
    assert (answer.text, answer.refusal) == ("I won't.", True)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 9}, Usage(5, 9)),
        # Hidden reasoning that only the total counts.
        ({"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 44}, Usage(5, 39)),
        ({"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}, Usage(5, 9)),
        ({"total_tokens": 14}, Usage(GUESS, 2)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(GUESS, 2)),
        ({"prompt_tokens": -5, "completion_tokens": -9}, Usage(GUESS, 2)),
        ({"prompt_tokens": 10**15, "completion_tokens": 10**15}, Usage(GUESS, 2)),
        (None, Usage(GUESS, 2)),
    ],
)
def test_openai_counts(usage: dict[str, int] | None, expected: Usage) -> None:
    assert _openai({"content": "four"}, usage=usage).usage == expected


def test_openai_calls_without_index_or_id() -> None:
    """Some servers leave out what tells the pieces of parallel calls apart."""
    said = [
        {"id": "a", "function": {"name": "add", "arguments": '{"a"'}},
        {"function": {"arguments": ": 1}"}},
        {"function": {"name": "mul", "arguments": {"b": 2}}},
    ]
    events = [{"choices": [{"delta": {"tool_calls": [call]}}]} for call in said]
    end = {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}
    assert _streamed(OpenAI(), *events, end).tool_calls == (
        ToolCall("a", "add", '{"a": 1}'),
        ToolCall("call_1_1", "mul", '{"b":2}'),
    )


def test_calls_are_numbered_from_nought_whatever_their_index() -> None:
    calls = [
        {"index": index, "id": name, "function": {"name": name, "arguments": "{}"}}
        for index, name in ((10**12, "far"), (-7, "near"))
    ]
    assembler = OpenAI().assembler(HERE, CHAT)
    event = {"choices": [{"delta": {"tool_calls": calls}, "finish_reason": "tool_calls"}]}
    deltas = list(assembler.feed(json.dumps(event).encode()))
    assert [(delta.index, delta.id) for delta in deltas] == [(0, "far"), (1, "near")]


def test_anthropic_thoughts_are_no_answer() -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Ten."},
    ]
    body = {"content": blocks, "stop_reason": "end_turn", "usage": {"output_tokens": 40}}
    answer = _whole(Anthropic(), body)
    assert answer.text == "Ten."
    assert answer.usage == Usage(GUESS, 40)
    thought = {"type": "thinking_delta", "thinking": "hm"}
    events = [
        {"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 3}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}},
        {"type": "content_block_delta", "index": 0, "delta": thought},
        {"type": "content_block_start", "index": 1, "content_block": blocks[1]},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}},
        {"type": "a_kind_not_known_here"},
        {"type": "message_stop"},
    ]
    streamed = _streamed(Anthropic(), *events)
    assert (streamed.text, streamed.usage.input_tokens) == ("Ten.", 3)


@pytest.mark.parametrize(
    ("said", "reason", "refusal"),
    [
        ("refusal", FinishReason.CONTENT_FILTER, True),
        ("model_context_window_exceeded", FinishReason.LENGTH, False),
        ("pause_turn", FinishReason.STOP, False),
    ],
)
def test_anthropic_endings(said: str, reason: FinishReason, *, refusal: bool) -> None:
    body = {"content": [], "stop_reason": said}
    answer = _whole(Anthropic(), body)
    assert (answer.finish_reason, answer.refusal) == (reason, refusal)


def test_anthropic_cached_input_is_charged() -> None:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 50, "cache_creation_input_tokens": 7}
    body = {"content": [], "stop_reason": "end_turn", "usage": usage | {"output_tokens": 1}}
    assert _whole(Anthropic(), body).usage == Usage(60, 1, cached_tokens=50, written_tokens=7)


def test_gemini_thoughts_are_charged_but_no_answer() -> None:
    parts = [{"text": "hm", "thought": True}, {"text": "Ten."}]
    body = {
        "candidates": [{"content": {"parts": parts}, "finishReason": "STOP", "avgLogprobs": -0.25}],
        "usageMetadata": {
            "promptTokenCount": 4,
            "candidatesTokenCount": 2,
            "thoughtsTokenCount": 30,
        },
    }
    answer = _whole(Gemini(), body)
    assert (answer.text, answer.mean_logprob) == ("Ten.", -0.25)
    assert answer.usage == Usage(4, 32, reasoning_tokens=30)


def test_gemini_blocks_a_prompt() -> None:
    body = {"promptFeedback": {"blockReason": "SAFETY"}}
    answer = _whole(Gemini(), body)
    assert (answer.text, answer.finish_reason) == ("", FinishReason.CONTENT_FILTER)


def test_gemini_calls_get_ids_that_differ_from_turn_to_turn() -> None:
    calls = [{"functionCall": {"name": name}} for name in ("add", "mul")]
    body = {"candidates": [{"content": {"parts": calls}, "finishReason": "STOP"}]}
    answer = _whole(Gemini(), body)
    assert [call.id for call in answer.tool_calls] == ["call_1_0", "call_1_1"]
    later = ChatRequest((*CHAT.messages, Message(Role.ASSISTANT, tool_calls=answer.tool_calls)))
    again = _whole(Gemini(), body, later)
    assert not {c.id for c in again.tool_calls} & {c.id for c in answer.tool_calls}


@pytest.mark.parametrize(
    ("dialect", "event"),
    [
        (OpenAI(), {"error": {"message": "overloaded"}}),
        (Anthropic(), {"type": "error", "error": {"type": "overloaded_error"}}),
        (Gemini(), {"error": {"code": 503}}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_in_mid_stream(
    dialect: OpenAI | Anthropic | Gemini, event: dict[str, Any]
) -> None:
    with pytest.raises(ProviderUnavailable):
        _streamed(dialect, event)


def test_no_delta_is_empty() -> None:
    """Servers open a stream with the role and no text."""
    first = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
    assembler = OpenAI().assembler(HERE, CHAT)
    assert list(assembler.feed(json.dumps(first).encode())) == []
    second = {"choices": [{"delta": {"content": "x"}}]}
    assert list(assembler.feed(json.dumps(second).encode())) == [TextDelta("x")]


def test_characters_of_arguments_that_come_in_halves() -> None:
    def piece(arguments: Any, **more: Any) -> dict[str, Any]:
        call = {"index": 0, "function": {"name": "add", "arguments": arguments}} | more
        return {"choices": [{"delta": {"tool_calls": [call]}}]}

    end = {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}
    halves = _streamed(OpenAI(), piece('{"a": "\ud83d'), piece('\ude00"}'), end)
    assert halves.tool_calls[0].arguments == '{"a": "\U0001f600"}'
    alone = _streamed(OpenAI(), piece({"a": "\ud83d"}, id="\ude00"), end)
    assert json.loads(alone.tool_calls[0].arguments) == {"a": "\ufffd"}
    assert alone.tool_calls[0].id == "\ufffd"


def test_numbers_in_arguments_keep_their_digits() -> None:
    block = {"type": "tool_use", "id": "a", "name": "add", "input": {"a": 10**30, "b": 1.0}}
    answer = _whole(Anthropic(), {"content": [block], "stop_reason": "tool_use"})
    assert answer.tool_calls[0].arguments.replace(" ", "") == f'{{"a":{10**30},"b":1.0}}'


def test_reading_takes_a_time_that_grows_with_the_body() -> None:
    """Half a million characters in tiny pieces, in the forms that compare with what came before."""
    logprobs = {"content": [{"logprob": -0.5}]}
    forms: list[dict[str, Any]] = [
        {"delta": {"content": "x"}, "logprobs": logprobs},
        {"message": {"content": "x"}},
        {"delta": {"tool_calls": [{"function": {"name": "add", "arguments": "}"}}]}},
        {"delta": {"reasoning_content": "x"}},
    ]
    for form in forms:
        assembler = OpenAI().assembler(HERE, CHAT)
        data = json.dumps({"choices": [form]}).encode()
        began_s = time.process_time()
        for _ in range(20_000):
            list(assembler.feed(data))
        assert time.process_time() - began_s < 15
