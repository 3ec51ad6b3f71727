"""Answers whose parts beside the words have an odd form: they were paid for, so they arrive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import KEY
from tests.e2e.http_doors import PATIENCE_S, QUESTION, USAGE, door, url
from tests.e2e.wire import Json, Wire, on_uvloop, whole

WORDS = "Forty-two."
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
TEXT: Json = {"type": "output_text", "text": WORDS, "annotations": []}
SAID: Json = {"type": "message", "id": "m", "role": "assistant", "content": [TEXT]}

UNTYPED: Json = {"role": "assistant", "content": [TEXT]}


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def _completion(**choice: Any) -> Json:
    message = {"role": "assistant", "content": WORDS}
    made = {"index": 0, "message": message, "finish_reason": "stop"} | choice
    return {"id": "x", "choices": [made], "usage": USAGE}


def _response(*output: object) -> Json:
    usage = {"input_tokens": 12, "output_tokens": 5, "total_tokens": 17}
    return {"id": "r", "status": "completed", "model": "m", "output": output, "usage": usage}


def _message(**more: Any) -> Json:
    content = [{"type": "text", "text": WORDS}]
    known = {"type": "message", "id": "m", "role": "assistant", "model": "m", "content": content}
    return known | {"stop_reason": "end_turn"} | more


ODD: dict[str, tuple[str, Json, tuple[str, ...]]] = {
    "item without a type": ("responses", _response(UNTYPED), (RESPONSES,)),
    "item that is a text": ("responses", _response("x", SAID), (RESPONSES,)),
    "content that is a text": ("responses", _response(SAID | {"content": WORDS}), (RESPONSES,)),
    "part that is a text": ("responses", _response(SAID | {"content": [WORDS]}), (RESPONSES,)),
    "part without its text": (
        "responses",
        _response(SAID | {"content": [TEXT, {"type": "output_text"}, {"type": "output_audio"}]}),
        (RESPONSES,),
    ),
    "log-probabilities in a list": ("openai", _completion(logprobs=[1]), (CHAT, RESPONSES)),
    "names of Python's": ("openai", _completion(self=1, own=2), (CHAT, RESPONSES)),
    "counts in a list": ("anthropic", _message(usage=[1]), (MESSAGES,)),
}


@pytest.mark.parametrize("name", ODD)
@on_uvloop
async def test_what_stands_beside_takes_no_words_away(tmp_path: Path, name: str) -> None:
    """As a whole, and of the cache as a stream."""
    provider, body, paths = ODD[name]
    wire = Wire(lambda _: whole(body), provider=provider)
    async with (
        door(tmp_path, wire, sections="cache: {enabled: true}") as router,
        httpx.AsyncClient(base_url=url(router), timeout=PATIENCE_S) as http,
    ):
        for path in paths:
            for stream in (False, True):
                question = {"input" if path == RESPONSES else "messages": QUESTION}
                limit = {"max_tokens": 100} if path == MESSAGES else {}
                asked = {"model": "auto", "stream": stream} | question | limit
                got = await http.post(path, json=asked, headers={"x-api-key": KEY})
                assert got.status_code == 200
                assert WORDS in got.text
                assert "internal error" not in got.text
