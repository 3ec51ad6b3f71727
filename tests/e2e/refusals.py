"""How providers of each dialect refuse a request or the account, and what it is told as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.e2e.wire import Json, Reply, whole

SECRET = "my secret prompt"
KEY_TEXT = "sk-very-secret"


@dataclass(frozen=True, slots=True)
class Told:
    """How one dialect's provider refuses, and what its caller hears of it."""

    status: int
    body: Json | str
    code: str
    parameter: str = ""


def openai(message: str, kind: str, code: Any = None, param: Any = None) -> Json:
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}


def anthropic(message: str, kind: str) -> Json:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"}


def gemini(message: str, code: int, status: str, *details: Json) -> Json:
    return {"error": {"code": code, "message": message, "status": status, "details": [*details]}}


INVALID = "invalid_request_error"
OF_THE_REQUEST: dict[str, tuple[str, dict[str, Told]]] = {
    "too long": (
        "CONTEXT_TOO_LONG",
        {
            "openai": Told(
                400,
                openai(
                    f"This model's maximum context length is 4096 tokens: {SECRET}",
                    INVALID,
                    "context_length_exceeded",
                    "messages",
                ),
                "context_length_exceeded",
                "messages",
            ),
            "anthropic": Told(
                400,
                anthropic(f"prompt is too long: 210000 tokens > 200000 maximum {SECRET}", INVALID),
                INVALID,
            ),
            "gemini": Told(
                400,
                gemini(
                    "The input token count (1200000) exceeds the maximum number of tokens allowed"
                    f" (1048576). {SECRET}",
                    400,
                    "INVALID_ARGUMENT",
                ),
                "INVALID_ARGUMENT",
            ),
        },
    ),
    "flagged": (
        "CONTENT_REFUSED",
        {
            "openai": Told(
                400,
                {
                    "error": {
                        "message": "The response was filtered.",
                        "code": "content_filter",
                        "param": "prompt",
                        "status": 400,
                        "innererror": {"code": "ResponsibleAIPolicyViolation"},
                    }
                },
                "content_filter",
                "prompt",
            ),
            "anthropic": Told(
                400, anthropic("Output blocked by content filtering policy", INVALID), INVALID
            ),
            "gemini": Told(
                400,
                gemini("Content violates our usage policies.", 400, "INVALID_ARGUMENT"),
                "INVALID_ARGUMENT",
            ),
        },
    ),
    "schema": (
        "REQUEST_REFUSED",
        {
            "openai": Told(
                400,
                openai(
                    "Invalid schema for response_format 'x'",
                    INVALID,
                    "invalid_json_schema",
                    "response_format",
                ),
                "invalid_json_schema",
                "response_format",
            ),
            "anthropic": Told(
                400, anthropic("tools.0.input_schema: JSON schema is invalid", INVALID), INVALID
            ),
            "gemini": Told(
                400,
                gemini(
                    "Request contains an invalid argument.",
                    400,
                    "INVALID_ARGUMENT",
                    {
                        "@type": "type.googleapis.com/google.rpc.BadRequest",
                        "fieldViolations": [{"field": "tools[0].schema", "description": SECRET}],
                    },
                ),
                "INVALID_ARGUMENT",
                "tools[0].schema",
            ),
        },
    ),
    "too large": (
        "CONTEXT_TOO_LONG",
        dict.fromkeys(
            ("openai", "anthropic", "gemini"),
            Told(413, "<html><h1>413 Request Entity Too Large</h1></html>", ""),
        ),
    ),
    "missing": (
        "REQUEST_REFUSED",
        dict.fromkeys(
            ("openai", "anthropic", "gemini"),
            Told(
                422,
                {"detail": [{"type": "missing", "loc": ["body", "tools", 0], "input": SECRET}]},
                "missing",
                "tools.0",
            ),
        ),
    ),
}
OF_THE_ACCOUNT: dict[str, tuple[str, dict[str, Told]]] = {
    "key": (
        "provider_unauthorized",
        {
            "openai": Told(
                401,
                openai(f"Incorrect API key provided: {KEY_TEXT}", INVALID, "invalid_api_key"),
                "invalid_api_key",
            ),
            "anthropic": Told(
                401, anthropic("invalid x-api-key", "authentication_error"), "authentication_error"
            ),
            "gemini": Told(
                400,
                gemini(
                    "API key not valid. Please pass a valid API key.",
                    400,
                    "INVALID_ARGUMENT",
                    {"@type": "google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
                ),
                "API_KEY_INVALID",
            ),
        },
    ),
    "credit": (
        "provider_out_of_credit",
        {
            "openai": Told(
                429,
                openai(
                    "You exceeded your current quota.", "insufficient_quota", "insufficient_quota"
                ),
                "insufficient_quota",
            ),
            "anthropic": Told(
                400,
                anthropic("Your credit balance is too low to access the Anthropic API.", INVALID),
                INVALID,
            ),
            "gemini": Told(
                429,
                gemini("Your prepayment credits are depleted.", 429, "RESOURCE_EXHAUSTED"),
                "RESOURCE_EXHAUSTED",
            ),
        },
    ),
    "model": (
        "provider_not_found",
        {
            "openai": Told(
                404,
                openai("The model `m` does not exist", INVALID, "model_not_found"),
                "model_not_found",
            ),
            "anthropic": Told(404, anthropic("model: m", "not_found_error"), "not_found_error"),
            "gemini": Told(
                404,
                gemini("models/m is not found for API version v1", 404, "NOT_FOUND"),
                "NOT_FOUND",
            ),
        },
    ),
    "path": (
        "provider_not_found",
        dict.fromkeys(("openai", "anthropic", "gemini"), Told(404, {"detail": "Not Found"}, "")),
    ),
    "page": (
        "provider_not_found",
        dict.fromkeys(
            ("openai", "anthropic", "gemini"), Told(200, "<!doctype html><title>App</title>", "")
        ),
    ),
}

# OpenAI refuses alike in both of its protocols.
for _, by_dialect in (*OF_THE_REQUEST.values(), *OF_THE_ACCOUNT.values()):
    by_dialect["responses"] = by_dialect["openai"]


def replied(told: Told) -> Reply:
    if isinstance(told.body, str):
        return whole(told.body, told.status, kind="text/html; charset=utf-8")
    return whole(told.body, told.status)
