"""Whatever comes back, it is said in words of one's own, and nothing of it is repeated."""

from __future__ import annotations

import json
import random
import zlib
from dataclasses import replace

import pytest

from router.adapters.providers.failures import told
from router.adapters.providers.probing.diagnosis import diagnosed
from router.adapters.providers.probing.witness import Witnessed
from router.adapters.providers.way_faults import WayFault
from router.domain.catalog import PROVIDERS, BodyRules, Deployment, Price
from router.domain.errors import ProviderError, ProviderMalformed, ProviderUnavailable

SECRET = "the words of somebody else"
STATUSES = (0, 200, 204, 302, 400, 401, 403, 404, 405, 407, 413, 422, 429, 500, 503, 529, 999)


def deployment(provider: str, url: str = "http://127.0.0.1:8000/v1") -> Deployment:
    return Deployment("d", provider, url, "some/model-1", Price(1, 1))


def shaped(draw: random.Random, depth: int = 0) -> object:
    """Returns JSON of any shape that has the words of errors and answers in it."""
    kinds = ["text", "number", "none"] + ["record", "list"] * (depth < 4)
    kind = draw.choice(kinds)
    if kind == "record":
        names = [
            "error",
            "message",
            "code",
            "type",
            "status",
            "choices",
            "candidates",
            "detail",
            "object",
            "done",
            "param",
        ]
        return {draw.choice(names): shaped(draw, depth + 1) for _ in range(draw.randrange(4))}
    if kind == "list":
        return [shaped(draw, depth + 1) for _ in range(draw.randrange(3))]
    if kind == "number":
        return draw.choice([0, 400, 404, 1.5, 10**30, True])
    return draw.choice([SECRET, "", "not_found", "model", None]) if kind == "text" else None


@pytest.mark.parametrize("provider", PROVIDERS)
def test_any_answer_gets_a_diagnosis(provider: str) -> None:
    draw = random.Random(provider)
    for _ in range(2_000):
        value, status = shaped(draw), draw.choice(STATUSES)
        body = json.dumps(value).encode()
        body = draw.choice([body, body[: len(body) // 2], b"<" + body, b"data: " + body, b"\xff"])
        seen = Witnessed(status, page=draw.random() < 0.1, head=body)
        error: ProviderError = (
            told(value, status) if status >= 400 else ProviderMalformed("unreadable")
        )
        found = diagnosed(deployment(provider), draw.choice(["", "LLM_KEY"]), seen, error)
        assert found.text
        assert SECRET not in found.text


@pytest.mark.parametrize("fault", WayFault)
def test_every_end_of_the_way_is_said_with_the_host(fault: WayFault) -> None:
    seen, error = Witnessed(fault=fault), ProviderUnavailable("could not be reached")
    here = deployment("openai", "https://llm.example.org:8443/secret-path/v1")
    found = diagnosed(here, "LLM_KEY", seen, error)
    assert found.grave
    assert "llm.example.org:8443" in found.text
    assert "secret-path" not in found.text


def test_a_compressed_error_is_read() -> None:
    body = json.dumps({"error": {"message": "model x not found", "type": "t"}}).encode()
    seen = Witnessed(404, compressed=True, head=zlib.compress(body))
    found = diagnosed(deployment("openai"), "LLM_KEY", seen, told(json.loads(body), 404))
    assert "does not know the model" in found.text
    seen.head = b"not compressed at all"
    assert diagnosed(deployment("openai"), "LLM_KEY", seen, told(None, 404)).text


def test_a_model_in_a_path_is_no_word_about_the_model() -> None:
    body = {"error": "Not Found", "path": "/v1beta/v1beta/models/some/model-1:generateContent"}
    for value in (body, {"detail": f"POST {body['path']} not found"}):
        seen = Witnessed(404, head=json.dumps(value).encode())
        found = diagnosed(deployment("gemini"), "LLM_KEY", seen, told(value, 404))
        assert "does not know the path" in found.text
        assert found.url


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("reasoning_effort", "take it out of them"),
        ("generationConfig.thinkingBudget", "take it out of them"),
        ("max_tokens", "write another in limit_field"),
        ("max_new_tokens", "write another in limit_field"),
        ("anthropic_beta", "see parameters and omit"),
    ],
)
def test_a_field_that_is_refused_names_the_option_to_change(field: str, words: str) -> None:
    parameters = json.dumps({"reasoning_effort": "high", "generationConfig": {"thinkingBudget": 0}})
    rules = BodyRules(parameters=parameters, limit_field="max_new_tokens")
    here = replace(deployment("openai"), rules=rules)
    body = {"error": {"message": "no", "type": "invalid_request_error", "param": field}}
    seen = Witnessed(400, head=json.dumps(body).encode())
    assert words in diagnosed(here, "LLM_KEY", seen, told(body, 400)).text


def test_where_another_protocol_is_spoken_the_base_url_is_not_in_question() -> None:
    body = {"type": "error", "error": {"type": "not_found_error", "message": "Not found"}}
    seen = Witnessed(404, head=json.dumps(body).encode())
    found = diagnosed(deployment("openai"), "LLM_KEY", seen, told(body, 404))
    assert "write provider: anthropic" in found.text
    assert not found.url
