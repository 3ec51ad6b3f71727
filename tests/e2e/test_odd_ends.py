"""Why an answer ended: what is not known to be good is a failed attempt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.dialects import CALL, DIALECTS, Dialect
from tests.e2e.odd_answers import TOOLS, either, odd_router
from tests.e2e.wire import on_uvloop

GOOD = {
    "stop": "STOP",
    "STOP": "STOP",
    "end_turn": "STOP",
    "stop_sequence": "STOP",
    "COMPLETE": "STOP",
    "eos_token": "STOP",
    "length": "LENGTH",
    "MAX_TOKENS": "LENGTH",
    "model_length": "LENGTH",
    "max_output_tokens": "LENGTH",
    "model_context_window_exceeded": "LENGTH",
    "content_filter": "CONTENT_FILTER",
    "IMAGE_SAFETY": "CONTENT_FILTER",
    "LANGUAGE": "CONTENT_FILTER",
    "content_filtered": "CONTENT_FILTER",
    "guardrail_intervened": "CONTENT_FILTER",
    "refusal": "CONTENT_FILTER",
    "sensitive": "CONTENT_FILTER",
    "tool_use": "STOP",
}
BAD = (
    "error",
    "network_error",
    "insufficient_system_resource",
    "MALFORMED_FUNCTION_CALL",
    "UNEXPECTED_TOOL_CALL",
    "OTHER",
    "abort",
    "a_word_of_tomorrow",
)
FREE = ("error", "network_error", "insufficient_system_resource", "abort")


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def ended(spoken: Dialect, end: Any, texts: tuple[str, ...] = ("Forty", "-two.")) -> Any:
    return either(
        spoken.whole("".join(texts), None, end),
        spoken.pieces(texts, None, end),
        done=spoken.end_mark != b"",
    )


def called(spoken: Dialect, end: Any) -> Any:
    return either(
        spoken.whole("", CALL, end), spoken.pieces((), CALL, end), done=spoken.end_mark != b""
    )


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_known_ends_in_any_spelling(spoken: Dialect, tmp_path: Path) -> None:
    odd = {f"end {end}": ended(spoken, end) for end in GOOD}
    async with odd_router(tmp_path, spoken, odd) as asker:
        for end, expected in GOOD.items():
            for seen in await asker.both(f"end {end}"):
                assert (end, seen.text, seen.finish) == (end, "Forty-two.", expected)


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_unknown_ends_are_failed_attempts(spoken: Dialect, tmp_path: Path) -> None:
    odd = {f"end {end}": ended(spoken, end) for end in BAD}
    odd |= {f"silent {end}": ended(spoken, end, ()) for end in BAD}
    async with odd_router(tmp_path, spoken, odd) as asker:
        for end in BAD:
            seen = await asker.whole(f"end {end}")
            why = "provider_unavailable" if end in FREE else "provider_malformed"
            assert (end, seen.is_spare, seen.first.why) == (end, True, why)
            counted = (0, 0) if end in FREE else (11, 7)
            assert (seen.first.input_tokens, seen.first.output_tokens) == counted
            assert not seen.first.usage_guessed
            # A stream that has begun can't be begun again elsewhere.
            assert (await asker.live(f"end {end}")).reason == "UNAVAILABLE"
            assert (await asker.live(f"silent {end}")).is_spare


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_calls_are_an_end_of_their_own(spoken: Dialect, tmp_path: Path) -> None:
    ends = ("stop", "length", "tool_calls", "OTHER", "a_word_of_tomorrow", "end_turn")
    odd = {f"end {end}": called(spoken, end) for end in ends}
    async with odd_router(tmp_path, spoken, odd) as asker:
        for end in ends:
            for seen in await asker.both(f"end {end}", tools=TOOLS):
                assert (end, seen.finish) == (end, "TOOL_CALLS")
                ((call_id, name, arguments),) = seen.calls
                assert (call_id, name, json.loads(arguments)) == ("call_0", "add", {"a": 1})


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_an_end_that_is_not_told(spoken: Dialect, tmp_path: Path) -> None:
    """A whole answer is whole without it; a stream without its end broke off."""
    ends = (None, "", "null")
    odd = {f"end {number}": ended(spoken, end) for number, end in enumerate(ends)}
    odd |= {f"call {number}": called(spoken, end) for number, end in enumerate(ends)}
    odd["nothing"] = ended(spoken, None, ())
    async with odd_router(tmp_path, spoken, odd) as asker:
        for number in range(len(ends)):
            seen = await asker.whole(f"end {number}")
            assert (seen.text, seen.finish) == ("Forty-two.", "STOP")
            assert (await asker.live(f"end {number}")).reason == "UNAVAILABLE"
            seen = await asker.whole(f"call {number}", tools=TOOLS)
            assert (seen.finish, len(seen.calls)) == ("TOOL_CALLS", 1)
        for seen in await asker.both("nothing"):
            assert (seen.is_spare, seen.first.why) == (True, "provider_malformed")


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_calls_that_are_announced_and_do_not_come(spoken: Dialect, tmp_path: Path) -> None:
    odd = {"lost": ended(spoken, "tool_calls", ())}
    async with odd_router(tmp_path, spoken, odd) as asker:
        for seen in await asker.both("lost", tools=TOOLS):
            assert (seen.is_spare, seen.first.why) == (True, "provider_malformed")
