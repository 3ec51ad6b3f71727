"""Tokens: counted wherever they are told, guessed where they are not, and marked so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contract.dialects import DIALECTS, Dialect
from tests.e2e.odd_answers import Odd, either, odd_router
from tests.e2e.wire import events, on_uvloop, raw

Json = dict[str, Any]
SPOKEN = {spoken.name: spoken for spoken in DIALECTS}


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def openai(usage: Any = None, *later: Json, choice: Json | None = None, **more: Any) -> Odd:
    """Returns an answer with its counts; of a stream, `later` follow them."""
    counted = {} if usage is None else {"usage": usage}
    said = {"message": {"content": "Forty-two."}, "finish_reason": "stop"} | (choice or {})
    piece = {"delta": {"content": "Forty-two."}, "finish_reason": "stop"} | (choice or {})
    body = {"choices": [said]} | counted | more
    for each in later:
        body |= each
    return either(body, [{"choices": [piece]} | counted | more, *later], done=True)


COUNTED = {"prompt_tokens": 100, "completion_tokens": 20}
OPENAI: dict[str, tuple[Odd, tuple[int, int]]] = {
    "usual": (openai(COUNTED), (100, 20)),
    "floats": (openai({"prompt_tokens": 100.0, "completion_tokens": 19.5}), (100, 20)),
    "text": (openai({"prompt_tokens": "100", "completion_tokens": "20"}), (100, 20)),
    "total": (openai(COUNTED | {"total_tokens": 150}), (100, 50)),
    "reasoning beside": (
        openai(COUNTED | {"completion_tokens_details": {"reasoning_tokens": 30}}),
        (100, 50),
    ),
    "reasoning within": (
        openai(COUNTED | {"completion_tokens_details": {"reasoning_tokens": 15}}),
        (100, 20),
    ),
    "in the choice": (openai(choice={"usage": COUNTED}), (100, 20)),
    "x_groq": (openai(x_groq={"id": "x", "usage": COUNTED}), (100, 20)),
    "other names": (openai({"input_tokens": 100, "output_tokens": 20}), (100, 20)),
    "camel case": (openai({"promptTokens": 100, "completionTokens": 20}), (100, 20)),
    "counts alone": (openai(prompt_eval_count=100, eval_count=20), (100, 20)),
    "billed units": (
        openai(
            {
                "billed_units": {"input_tokens": 90, "output_tokens": 20},
                "tokens": {"input_tokens": 100, "output_tokens": 20},
            }
        ),
        (100, 20),
    ),
    "timings": (openai(timings={"cache_n": 40, "prompt_n": 60, "predicted_n": 20}), (100, 20)),
    "in a list": (openai([COUNTED]), (100, 20)),
    "cached within": (openai(COUNTED | {"cache_read_input_tokens": 80}), (100, 20)),
    "null beside": (openai(COUNTED | {"input_tokens": None, "cost": None}), (100, 20)),
}
LATER: dict[str, tuple[Odd, tuple[int, int]]] = {
    "later zero": (
        openai(COUNTED, {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}),
        (100, 20),
    ),
    "later null": (openai(COUNTED, {"choices": [], "usage": None}), (100, 20)),
    "later part": (openai(COUNTED, {"choices": [], "usage": {"completion_tokens": 25}}), (100, 25)),
}


def anthropic(start: Any, *later: Any) -> Odd:
    spoken = SPOKEN["anthropic"]
    pieces = spoken.pieces(["Forty-two."], None, "end_turn")
    pieces[0]["message"]["usage"] = start
    del pieces[-2]["usage"]
    deltas = [
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
        for usage in later
    ]
    body = spoken.whole("Forty-two.", None, "end_turn") | {"usage": later[0] if later else start}
    return either(body, [*pieces[:-1], *deltas, pieces[-1]])


BOTH = {"input_tokens": 100, "output_tokens": 20}
ANTHROPIC: dict[str, tuple[Odd, tuple[int, int]]] = {
    "usual": (anthropic({"input_tokens": 100, "output_tokens": 1}, BOTH), (100, 20)),
    "cached": (
        anthropic(
            None,
            {
                "input_tokens": 10,
                "cache_read_input_tokens": 80,
                "cache_creation_input_tokens": 10,
                "output_tokens": 20,
            },
        ),
        (100, 20),
    ),
    "floats": (anthropic(None, {"input_tokens": 99.2, "output_tokens": "20"}), (100, 20)),
    "null beside": (anthropic(None, BOTH | {"cache_read_input_tokens": None}), (100, 20)),
    "other names": (anthropic(None, COUNTED), (100, 20)),
}
ANTHROPIC_LATER: dict[str, tuple[Odd, tuple[int, int]]] = {
    "later zero": (anthropic(BOTH, {"input_tokens": 0, "output_tokens": 0}), (100, 20)),
    "later null": (anthropic(BOTH, None), (100, 20)),
    "start alone": (anthropic(BOTH), (100, 20)),
    "cumulative": (
        anthropic({"input_tokens": 100, "output_tokens": 1}, {"output_tokens": 20}),
        (100, 20),
    ),
}


def gemini(usage: Any, *later: Any, name: str = "usageMetadata") -> Odd:
    body = SPOKEN["gemini"].whole("Forty-two.", None, "STOP")
    del body["usageMetadata"]
    return either(body | {name: usage}, [body | {name: usage}, *({name: u} for u in later)])


TOLD = {"promptTokenCount": 100, "candidatesTokenCount": 15, "thoughtsTokenCount": 5}
GEMINI: dict[str, tuple[Odd, tuple[int, int]]] = {
    "usual": (gemini(TOLD | {"totalTokenCount": 120}), (100, 20)),
    "thoughts in the total": (
        gemini({"promptTokenCount": 100, "candidatesTokenCount": 15, "totalTokenCount": 120}),
        (100, 20),
    ),
    "tools": (
        gemini({"promptTokenCount": 60, "toolUsePromptTokenCount": 40, "candidatesTokenCount": 20}),
        (100, 20),
    ),
    "floats": (gemini(TOLD | {"promptTokenCount": 99.5, "totalTokenCount": "120"}), (100, 20)),
    "other names": (
        gemini({"prompt_token_count": 100, "candidates_token_count": 20}, name="usage_metadata"),
        (100, 20),
    ),
    "null beside": (gemini(TOLD | {"cachedContentTokenCount": None}), (100, 20)),
}
GEMINI_LATER: dict[str, tuple[Odd, tuple[int, int]]] = {
    "later zero": (
        gemini(TOLD, {"promptTokenCount": 0, "candidatesTokenCount": 0, "thoughtsTokenCount": 0}),
        (100, 20),
    ),
    "later null": (gemini(TOLD, None, {}), (100, 20)),
}
WHOLE = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI}
STREAMED = {"openai": LATER, "anthropic": ANTHROPIC_LATER, "gemini": GEMINI_LATER}


@pytest.mark.parametrize("name", WHOLE)
@on_uvloop
async def test_counts_are_found_where_they_stand(name: str, tmp_path: Path) -> None:
    cases = WHOLE[name] | STREAMED[name]
    odd = {case: reply for case, (reply, _) in cases.items()}
    async with odd_router(tmp_path, SPOKEN[name], odd) as asker:
        for case, (_, expected) in cases.items():
            seen = [await asker.live(case)]
            if case in WHOLE[name]:
                seen.append(await asker.whole(case))
            for each in seen:
                assert (case, each.tokens) == (case, expected)
                assert (case, each.first.usage_guessed) == (case, False)
                assert each.first.cost_usd == pytest.approx((100 + 10 * expected[1]) / 1e6)


NO_COUNTS = ("none", "zero", "negative", "true", "huge", "one of two")


def uncounted(spoken: Dialect, case: str) -> Odd:
    value = {"zero": 0, "negative": -7, "true": True, "huge": 10**15}.get(case)

    def changed(usage: Json) -> Json:
        if case == "one of two":
            return {k: v for k, v in usage.items() if k.lower().startswith(("prompt", "input"))}
        return {} if value is None else dict.fromkeys(usage, value)

    def walked(body: Any) -> Any:
        if isinstance(body, list):
            return [walked(each) for each in body]
        if not isinstance(body, dict):
            return body
        return {k: changed(v) if "usage" in k else walked(v) for k, v in body.items()}

    finish = spoken.finishes["stop"]
    return either(
        walked(spoken.whole("Forty-two.", None, finish)),
        walked(spoken.pieces(["Forty-two."], None, finish)),
        done=spoken.end_mark != b"",
    )


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_what_is_not_counted_is_guessed_and_marked(spoken: Dialect, tmp_path: Path) -> None:
    odd = {case: uncounted(spoken, case) for case in NO_COUNTS}
    async with odd_router(tmp_path, spoken, odd) as asker:
        for case in NO_COUNTS:
            for seen in await asker.both(case):
                assert (case, seen.text, seen.first.usage_guessed) == (case, "Forty-two.", True)
                read = seen.tokens[0]
                assert (case, read > 1) == (case, True)
                assert (case, seen.tokens[1]) == (case, 3)


NO_ANSWERS: dict[str, Json] = {
    "openai": {"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 20}},
    "anthropic": {"content": [], "usage": {"input_tokens": 100, "output_tokens": 20}},
    "gemini": {"usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 20}},
    "responses": {"output": []} | {"usage": {"input_tokens": 100, "output_tokens": 20}},
}


@pytest.mark.parametrize("name", SPOKEN)
@on_uvloop
async def test_a_whole_body_without_an_answer_costs_what_it_counts(
    name: str, tmp_path: Path
) -> None:
    body = NO_ANSWERS[name]
    async with odd_router(tmp_path, SPOKEN[name], {"none": either(body, [body])}) as asker:
        seen = await asker.whole("none")
        assert (seen.is_spare, seen.first.why) == (True, "provider_malformed")
        assert (seen.first.input_tokens, seen.first.output_tokens) == (100, 20)
        assert not seen.first.usage_guessed


THOUGHT = "Hm, let me think. " * 100
"""Characters of some 450 tokens."""


def thoughts(name: str) -> list[Json]:
    """Returns the start of a stream that thinks for long, says a word and breaks off."""
    if name == "openai":
        return [
            *({"choices": [{"delta": {"reasoning_content": THOUGHT[:900]}}]} for _ in range(2)),
            {"choices": [{"delta": {"content": "Forty"}}]},
        ]
    if name == "responses":
        kind = "response.reasoning_summary_text.delta"
        return [
            *({"type": kind, "output_index": 0, "delta": THOUGHT[:900]} for _ in range(2)),
            {"type": "response.output_text.delta", "output_index": 1, "delta": "Forty"},
        ]
    if name == "gemini":
        return [
            {"candidates": [{"content": {"parts": [{"text": THOUGHT, "thought": True}]}}]},
            {"candidates": [{"content": {"parts": [{"text": "Forty"}]}}]},
        ]
    delta = {"type": "thinking_delta", "thinking": THOUGHT}
    return [
        {"type": "message_start", "message": {"content": [], "usage": {"output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "text_delta", "text": "Forty"},
        },
    ]


def counted_thoughts(name: str) -> list[Json]:
    """Returns one whose thoughts are counted and not shown."""
    pieces = SPOKEN[name].pieces(["Forty"], None, "")[:1]
    if name == "responses":
        details = {"output_tokens_details": {"reasoning_tokens": 445}}
        counted = {"usage": {"input_tokens": 9, "output_tokens": 450} | details}
        return [{"type": "response.in_progress", "response": counted}, thoughts(name)[-1]]
    if name == "openai":
        details = {"completion_tokens_details": {"reasoning_tokens": 445}}
        return [pieces[0] | {"usage": {"prompt_tokens": 9, "completion_tokens": 450} | details}]
    if name == "gemini":
        counts = {"promptTokenCount": 9, "candidatesTokenCount": 5, "thoughtsTokenCount": 445}
        return [pieces[0] | {"usageMetadata": counts}]
    return [
        *thoughts(name)[:2],
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 450}},
        *thoughts(name)[3:],
    ]


@pytest.mark.parametrize("name", SPOKEN)
@on_uvloop
async def test_hidden_reasoning_of_a_broken_stream_is_charged(name: str, tmp_path: Path) -> None:
    odd: dict[str, Odd] = {
        "heard": lambda _: events(*thoughts(name)),
        "counted": lambda _: events(*counted_thoughts(name)),
        "nothing said": lambda _: events(*thoughts(name)[:-1]),
        "stalled": lambda _: raw(*events(*thoughts(name)).pieces, 5.0),
    }
    more = ", always_stream: true, between_bytes_ms: 300"
    async with odd_router(tmp_path, SPOKEN[name], odd, more=more) as asker:
        for case in odd:
            seen = await asker.whole(case)
            assert (case, seen.is_spare) == (case, True)
            assert (case, 440 <= seen.first.output_tokens <= 470) == (case, True), seen.first
            assert seen.first.usage_guessed


@pytest.mark.parametrize("name", SPOKEN)
@on_uvloop
async def test_hidden_reasoning_is_part_of_a_guess(name: str, tmp_path: Path) -> None:
    """An answer without counts that was thought about for long was not as cheap as it is short."""
    finish = SPOKEN[name].finishes["stop"]
    ends = {
        "openai": [{"choices": [{"delta": {}, "finish_reason": finish}]}],
        "gemini": [{"candidates": [{"finishReason": finish}]}],
        "anthropic": [
            {"type": "message_delta", "delta": {"stop_reason": finish}},
            {"type": "message_stop"},
        ],
        "responses": [{"type": "response.completed", "response": {"status": finish}}],
    }
    start = thoughts(name)
    if name == "anthropic":
        start[0]["message"].pop("usage")
    odd: dict[str, Odd] = {"thought": lambda _: events(*start, *ends[name])}
    async with odd_router(tmp_path, SPOKEN[name], odd) as asker:
        for seen in await asker.both("thought"):
            assert (seen.text, seen.first.usage_guessed) == ("Forty", True)
            assert 440 <= seen.tokens[1] <= 470
