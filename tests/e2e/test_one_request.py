"""What one request provokes at a provider changes nothing for the requests of others."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from adaptive_router.v1 import chat_pb2, router_pb2

from tests.contract.dialects import DIALECTS, Dialect
from tests.e2e.conftest import Router
from tests.e2e.test_refusals import asked, good, named, refused
from tests.e2e.wire import Asked, Json, Reply, Wire, events, on_uvloop, routed, whole

OWN = "CONTEXT_TOO_LONG", "CONTENT_REFUSED", "REQUEST_REFUSED"
WORDS = (
    "invalid api key",
    "a' invalid api key 'b",
    "unauthorized",
    "insufficient_quota",
    'x" your credit balance is too low "y',
    "You exceeded your current quota",
    "model gpt does not exist",
    "access denied: account disabled",
    "it's \"so\" unauthenticated, 'no credit",
    "余额不足",
    '{"error": {"code": "insufficient_quota", "message": "no credit"}}',
)
FILE = "You do not have permission to access the File abc or it may not exist."


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def error(message: str, kind: str | None = None, code: object = None) -> Json:
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}


def python(said: str) -> Json:
    return error(f"1 validation error: input_value={[{'role': 'user', 'content': said}]}")


ECHOES: dict[str, Callable[[str], Json | str]] = {
    "plain": lambda said: error(f"Could not parse: {said}"),
    "own line": lambda said: error(f"Bad input\n{said}"),
    "python": python,
    "text": lambda said: f"bad request: {said}",
    "fastapi": lambda said: {"detail": [{"type": "value_error", "msg": f"Value error, {said}"}]},
    "alone": error,
    "json": lambda said: error(json.dumps({"messages": [{"role": "user", "content": said}]})),
    "upper": lambda said: error(f"BAD INPUT: {said.upper()}"),
}
PROVOKED: dict[str, tuple[int, Json | str]] = {
    "file": (403, error(FILE, None, "PERMISSION_DENIED")),
    "gone": (404, error("File not found: file_1", "not_found_error")),
    "picture": (400, error("401 Client Error: Unauthorized for url: https://x.example/a.png")),
    "download": (400, error("Failed to download image: 403 Forbidden. Access denied.")),
    "tool": (400, error("Tool 'get' does not exist")),
    "flagged": (403, {"code": "permission-denied", "error": "Content violates usage guidelines."}),
    "sentence": (
        403,
        {
            "code": "The caller does not have permission to execute the specified operation",
            "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO",
        },
    ),
    "range": (400, error("<400> InternalError.Algo.InvalidParameter: should be in [0.0, 2.0)")),
    "window": (500, error("the request exceeds the available context size", "server_error", 500)),
}
PAGES: dict[str, tuple[int, Json | str]] = {
    "cloudflare": (403, "<!DOCTYPE html><title>Attention Required!</title> You have been blocked"),
    "f5": (200, "<html><head><title>Request Rejected</title></head>Your support ID is: 7</html>"),
    "imperva": (400, "<html>Request unsuccessful. Incapsula incident ID: 7</html>"),
    "poor": (402, error("requires more credits, or fewer max_tokens: can only afford 31", None)),
}


def prompt_of(asked: Asked) -> str:
    """Returns what the user has said, in whatever dialect."""
    body = asked.body
    if "contents" in body:
        return str(body["contents"][-1]["parts"][0]["text"])
    content = body["messages" if "messages" in body else "input"][-1]["content"]
    return str(content if isinstance(content, str) else content[0]["text"])


def answer_of(spoken: Dialect, asked: Asked) -> Reply:
    prompt = prompt_of(asked)
    name, _, said = prompt.partition(": ")
    if name in ECHOES:
        return whole(ECHOES[name](said), 400)
    if prompt in PROVOKED | PAGES:
        status, body = (PROVOKED | PAGES)[prompt]
        return whole(body, status)
    return good(spoken, asked)


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_a_caller_shuts_no_deployment_for_others(
    spoken: Dialect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire(lambda asked: answer_of(spoken, asked), spoken.name)
    texts = [f"{name}: {words}" for name in ECHOES for words in WORDS] + list(PROVOKED)
    with caplog.at_level(logging.WARNING, logger="router"):
        async with routed(tmp_path, {"only": [wire]}) as router:
            for number, text in enumerate(texts):
                failure = await refused(router, text, "only", live=number % 2 == 0)
                assert named(failure)[0] in OWN, (text, named(failure))
            assert (await asked(router, "fine", "only", live=False))[0] == "Forty-two."
    assert len(wire.asked) == len(texts) + 1
    assert not [r for r in caplog.records if "only0" in r.getMessage()]


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_a_page_of_a_firewall_pauses_only_when_it_comes_again_and_again(
    spoken: Dialect, tmp_path: Path
) -> None:
    wire = Wire(lambda asked: answer_of(spoken, asked), spoken.name)
    async with routed(tmp_path, {"only": [wire]}) as router:
        for text in PAGES:
            for _ in range(2):
                failure = await refused(router, text, "only", live=False)
                assert failure.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert (await asked(router, "fine", "only", live=True))[0] == "Forty-two."
    assert len(wire.asked) == 3 * len(PAGES)


FIELDS = "temperature", "top_p", "seed", "max_tokens", "stop", "response_format"
OF_ONE = (
    "Invalid value for 'temperature': must be between 0 and 1",
    "Unsupported value: 'temperature' does not support 1.7 with this model: at most 1",
    "`temperature` and `top_p` cannot both be specified for this model.",
    "Unsupported parameter: 'seed' is not supported when streaming",
    "'seed' is not supported with tools",
)


async def drawn(router: Router, text: str) -> None:
    chat = chat_pb2.ChatRequest(temperature=0.5, top_p=0.5, seed=3, stop=["END"])
    chat.messages.append(chat_pb2.Message(role=chat_pb2.ROLE_USER, text=text))
    chat.response_format.kind = chat_pb2.ResponseFormat.KIND_JSON_OBJECT
    request = router_pb2.CompleteRequest(chat=chat)
    await router.stub.Complete(request, metadata=router.metadata)


@on_uvloop
async def test_a_caller_teaches_no_rule_to_a_deployment(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What it makes its refusal say is no rule of the model, nor is a refusal of one value."""
    (spoken,) = (each for each in DIALECTS if each.name == "openai")

    def answer(asked: Asked) -> Reply:
        prompt = prompt_of(asked)
        name, _, said = prompt.partition(": ")
        if name == "echo":
            return whole(error(f"Invalid schema: property {said} has no type"), 400)
        if name == "squeezed":  # words that are another's than the request's
            return whole(error(f"Invalid schema: {said.replace('qq', '')}"), 400)
        both = asked.body.get("temperature") and asked.body.get("top_p")
        if name == "one" and both and "seed" in asked.body:
            return whole(error(OF_ONE[int(said)]), 400)
        return good(spoken, asked)

    wire = Wire(answer)
    with caplog.at_level(logging.WARNING, logger="router"):
        async with routed(tmp_path, {"only": [wire]}) as router:
            await drawn(router, "fine")
            first = wire.asked[-1].body
            assert {*FIELDS} <= {*first}
            for field in FIELDS:
                for way in ("echo", "squeezed"):
                    said = f"Unsuqqpported paraqqmeter: '{field}' is nqqot supported"
                    said = said if way == "squeezed" else said.replace("qq", "")
                    with pytest.raises(grpc.aio.AioRpcError):
                        await drawn(router, f"{way}: {said}")
            for number in range(len(OF_ONE)):
                await drawn(router, f"one: {number}")
            await drawn(router, "fine")
    assert len(wire.asked) == 1 + 3 * len(FIELDS) + 2 * len(OF_ONE) + 1
    assert wire.asked[-1].body == first
    assert not [r for r in caplog.records if "refused by" in r.getMessage()]


KEY = "sk-live-verysecretkey-0123456789"


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_a_key_that_a_provider_repeats_is_repeated_to_nobody(
    spoken: Dialect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As a code or a field, in a refusal, in an answer that began well, and within a stream."""
    told = error("no", KEY, KEY)
    told["error"]["param"] = KEY

    def answer(asked: Asked) -> Reply:
        way = prompt_of(asked)
        if way == "stream" and asked.streams:
            return events(spoken.pieces(["Half "], None, spoken.finishes["stop"])[0], told)
        return whole(told, 400 if way == "refused" else 200)

    arms = {way: [Wire(answer, spoken.name)] for way in ("refused", "inside", "stream")}
    environment = {"K": KEY}
    with caplog.at_level(logging.DEBUG, logger="router"):
        async with routed(
            tmp_path, arms, more=", api_key_env: K", environment=environment
        ) as router:
            for way in arms:
                for live in (False, True):
                    failure = await refused(router, way, way, live=live)
                    assert KEY not in repr(failure)
    assert "an attempt failed" in caplog.text
    assert KEY not in caplog.text
