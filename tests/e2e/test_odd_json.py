"""JSON in a fence, and overloads that are told inside a good answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contract.dialects import DIALECTS, Dialect
from tests.e2e.odd_answers import JSON_OBJECT, Odd, either, odd_router
from tests.e2e.wire import events, on_uvloop, raw, whole

PLAIN = '{"a": 1}'
INSIDE = '{\n  "a": "```sh\\nls\\n```",\n  "b": [1, 2]\n}'
FENCED = {
    "usual": (f"```json\n{PLAIN}\n```", PLAIN),
    "no language": (f"```\n{PLAIN}\n```", PLAIN),
    "upper case": (f"```JSON\n{PLAIN}\n```", PLAIN),
    "blanks around": (f"\n\n```json\n{PLAIN}\n```\n\n", PLAIN),
    "CR LF": (f"```json\r\n{PLAIN}\r\n```\r\n", PLAIN),
    "one line": (f"```json {PLAIN}```", PLAIN),
    "longer fence": (f"````json\n{PLAIN}\n````", PLAIN),
    "tildes": (f"~~~json\n{PLAIN}\n~~~", PLAIN),
    "marks within": (f"```json\n{INSIDE}\n```", INSIDE),
    "no fence": (PLAIN, PLAIN),
    "marks within, no fence": (INSIDE, INSIDE),
    "ticks around": (f"`{PLAIN}`", f"`{PLAIN}`"),
    "text before": (f"Here:\n```json\n{PLAIN}\n```", f"Here:\n```json\n{PLAIN}\n```"),
    "white space alone": (f"{PLAIN}\n\n\n", f"{PLAIN}\n\n\n"),
}
FOLLOWED = f"```json\n{PLAIN}\n```\nThat is it."


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def answered(spoken: Dialect, text: str, size: int) -> Odd:
    finish = spoken.finishes["stop"]
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return either(
        spoken.whole(text, None, finish),
        spoken.pieces(pieces, None, finish),
        done=spoken.end_mark != b"",
    )


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_json_in_a_fence_is_served_without_it(spoken: Dialect, tmp_path: Path) -> None:
    odd = {
        f"{name} {size}": answered(spoken, text, size)
        for name, (text, _) in FENCED.items()
        for size in (1, 3, 1_000)
    }
    odd["followed"] = answered(spoken, FOLLOWED, 5)
    async with odd_router(tmp_path, spoken, odd) as asker:
        for name, (text, expected) in FENCED.items():
            for size in (1, 3, 1_000):
                case = f"{name} {size}"
                for seen in await asker.both(case, response_format=JSON_OBJECT):
                    assert (case, seen.text) == (case, expected)
            # Where no JSON was asked for, a fence is a part of the answer.
            for seen in await asker.both(case):
                assert (case, seen.text) == (case, text)
        assert (await asker.whole("followed", response_format=JSON_OBJECT)).text == FOLLOWED
        seen = await asker.live("followed", response_format=JSON_OBJECT)
        assert seen.text.endswith(FOLLOWED.removeprefix("```json\n"))


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_only_what_may_be_the_fence_is_held_back(spoken: Dialect, tmp_path: Path) -> None:
    long = '{"a": "' + "x" * 200 + '"}'
    odd = {"long": answered(spoken, f"```json\n{long}\n```", 10)}
    async with odd_router(tmp_path, spoken, odd) as asker:
        seen = await asker.live("long", response_format=JSON_OBJECT)
        assert seen.text == long
        assert len(seen.pieces) > 15


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_the_gate_sees_what_is_served(spoken: Dialect, tmp_path: Path) -> None:
    odd = {"usual": answered(spoken, FENCED["usual"][0], 3)}
    async with odd_router(tmp_path, spoken, odd) as asker:
        for seen in await asker.both("usual", response_format=JSON_OBJECT):
            assert (seen.first.why, seen.text) == ("passed", PLAIN)


OVERLOADS: dict[str, dict[str, Any]] = {
    "openai": {
        "overloaded": {"error": {"message": "Overloaded", "type": "overloaded_error", "code": 503}},
        "in the choice": {
            "choices": [
                {
                    "delta": {"content": ""},
                    "message": {"content": ""},
                    "finish_reason": "error",
                    "error": {"code": 502, "message": "Provider returned error"},
                }
            ]
        },
        "of the older form": {"object": "error", "message": "Engine is busy", "code": 503},
        "as text": {"error": "the server is overloaded"},
    },
    "anthropic": {
        "overloaded": {
            "type": "error",
            "error": {"type": "overloaded_error", "message": "Overloaded"},
        },
        "api error": {"type": "error", "error": {"type": "api_error", "message": "Internal"}},
    },
    "gemini": {
        "overloaded": {
            "error": {"code": 503, "status": "UNAVAILABLE", "message": "The model is overloaded."}
        },
        "internal": {"error": {"code": 500, "status": "INTERNAL", "message": "x"}},
    },
    "responses": {
        "overloaded": {"error": {"message": "Overloaded", "type": "overloaded_error", "code": 503}},
        "an event": {"type": "error", "code": "server_error", "message": "The server had an error"},
        "failed": {
            "type": "response.failed",
            "response": {"status": "failed", "error": {"code": "server_error", "message": "x"}},
        },
    },
}
LIMITED = {
    "openai": {
        "error": {
            "message": "Rate limit reached. Please try again in 20s.",
            "type": "requests",
            "code": "rate_limit_exceeded",
        }
    },
    "anthropic": {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "Please try again in 20s."},
    },
    "gemini": {
        "error": {
            "code": 429,
            "status": "RESOURCE_EXHAUSTED",
            "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "20s"}],
        }
    },
    "responses": {
        "type": "error",
        "code": "rate_limit_exceeded",
        "message": "Rate limit reached. Please try again in 20s.",
        "param": None,
    },
}


def begun(spoken: Dialect, body: Any) -> Odd:
    """Returns a stream that tells of an error once it has begun."""
    pieces = spoken.pieces(["Forty", "-two."], None, spoken.finishes["stop"])
    start = pieces[: next(i for i, p in enumerate(pieces) if "Forty" in str(p)) + 1]
    return lambda _: raw(*events(*start).pieces, 0.1, *events(body).pieces)


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_an_overload_told_inside_an_answer_is_free(spoken: Dialect, tmp_path: Path) -> None:
    bodies = OVERLOADS[spoken.name]
    odd = {f"at once {name}": either(body, [body]) for name, body in bodies.items()}
    odd |= {f"begun {name}": begun(spoken, body) for name, body in bodies.items()}
    async with odd_router(tmp_path, spoken, odd) as asker:
        for name in bodies:
            seen = [
                *await asker.both(f"at once {name}"),
                # Who asked for a whole answer may be served by the next.
                await asker.whole(f"begun {name}"),
            ]
            for each in seen:
                assert (name, each.is_spare, each.first.why) == (name, True, "provider_unavailable")
                spent = each.first.input_tokens, each.first.output_tokens, each.first.cost_usd
                assert (name, spent) == (name, (0, 0, 0.0))
            assert (await asker.live(f"begun {name}")).reason == "UNAVAILABLE"


UNNAMED = {
    "a field of its own": b'error: {"code": 503, "type": "unavailable_error"}\n\n',
    "no field": b'{"error": {"code": 503, "message": "The server is overloaded"}}\n\n',
    "no field, no end": b'{"error": {"code": 503, "message": "The server is overloaded"}}',
}


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_an_error_outside_of_events_is_read(spoken: Dialect, tmp_path: Path) -> None:
    """Gateways and small servers write it into a stream as it is."""
    start = spoken.pieces(["Forty"], None, spoken.finishes["stop"])
    start = start[: next(i for i, p in enumerate(start) if "Forty" in str(p)) + 1]

    def reply(error: bytes) -> Odd:
        return lambda _: raw(*events(*start).pieces, 0.05, error)

    odd = {name: reply(error) for name, error in UNNAMED.items()}
    async with odd_router(tmp_path, spoken, odd) as asker:
        for name in UNNAMED:
            seen = await asker.whole(name)
            assert (name, seen.is_spare, seen.first.why) == (name, True, "provider_unavailable")
            assert seen.first.cost_usd == 0
            assert (await asker.live(name)).reason == "UNAVAILABLE"


WITHOUT_ANSWER: dict[str, tuple[Any, str]] = {
    "state": (
        {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
        "provider_out_of_credit",
    ),
    "other names": ({"error_code": 18, "error_msg": "Open api qps request limit"}, ""),
    "no choices": ({"choices": [], "code": 503, "message": "busy"}, "provider_unavailable"),
    "beside the choices": (
        {"choices": [{"delta": {}}], "x_groq": {"error": "Failed to call a function"}},
        "",
    ),
}


@on_uvloop
async def test_an_error_in_place_of_an_answer_is_free(tmp_path: Path) -> None:
    spoken = DIALECTS[0]
    odd = {name: either(body, [body]) for name, (body, _) in WITHOUT_ANSWER.items()}
    async with odd_router(tmp_path, spoken, odd) as asker:
        for name, (_, why) in reversed(WITHOUT_ANSWER.items()):
            seen = await asker.whole(name)
            assert (name, seen.is_spare, seen.first.cost_usd) == (name, True, 0)
            assert seen.first.why == why or (not why and seen.first.why != "provider_malformed")


@pytest.mark.parametrize("form", ["whole", "stream", "begun", "named"])
@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_a_limit_told_inside_an_answer_pauses(
    spoken: Dialect, form: str, tmp_path: Path
) -> None:
    body = LIMITED[spoken.name]
    odd: Odd = {
        "whole": lambda _: whole(body),
        "stream": lambda _: events(body),
        "begun": begun(spoken, body),
        "named": lambda _: raw(b"event: error\n", *events(body).pieces),
    }[form]
    async with odd_router(tmp_path, spoken, {"limited": odd}) as asker:
        seen = await asker.whole("limited")
        assert (seen.is_spare, seen.first.why) == (True, "provider_rate_limited")
        assert seen.first.cost_usd == 0
        assert len(asker.wire.asked) == 1
        for _ in range(3):
            assert (await asker.whole("limited")).is_spare
        assert len(asker.wire.asked) <= 2
