"""Recognises the protocol of a body, be it an answer, a stream or an error."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

import msgspec


class BodyForm(Enum):
    """Values of the first four are names of `PROVIDERS`. JSON: of no form that is known."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    RESPONSES = "responses"
    OLLAMA = "ollama"
    JSON = "json"
    PAGE = "page"
    TEXT = "text"
    EMPTY = "empty"


SPOKEN: Final = (BodyForm.OPENAI, BodyForm.ANTHROPIC, BodyForm.GEMINI, BodyForm.RESPONSES)


def form_of(head: bytes) -> BodyForm:
    """Returns the form of a body's first bytes."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text:
        return BodyForm.EMPTY
    if text.startswith(b"<"):
        return BodyForm.PAGE
    if text.startswith((b"data:", b"event:", b":")):
        text = _first_event(text)
    return _of_json(decoded(text))


def decoded(text: bytes) -> Any:
    """Returns the value of a JSON text; None where it is none, or cut off."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _first_event(text: bytes) -> bytes:
    data = (line for line in text.splitlines() if line.startswith(b"data:"))
    return next(data, b"").removeprefix(b"data:").strip()


def _of_json(value: Any) -> BodyForm:
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return BodyForm.TEXT if value is None else BodyForm.JSON
    error = value.get("error")
    return _of_answer(value) or _of_error(value, error) or BodyForm.JSON


def _of_answer(value: Mapping[str, Any]) -> BodyForm | None:
    kind, name = value.get("type"), str(value.get("object", ""))
    if "candidates" in value or "promptFeedback" in value or "usageMetadata" in value:
        return BodyForm.GEMINI
    if kind in ("message", "message_start") or "stop_reason" in value:
        return BodyForm.ANTHROPIC
    if name == "response" or str(kind).startswith("response."):
        return BodyForm.RESPONSES
    if "choices" in value:
        return BodyForm.OPENAI
    return BodyForm.OLLAMA if "done" in value else None


def _of_error(value: Mapping[str, Any], error: Any) -> BodyForm | None:
    if not isinstance(error, dict):
        return None
    if value.get("type") == "error":
        return BodyForm.ANTHROPIC
    if isinstance(error.get("code"), int) and isinstance(error.get("status"), str):
        return BodyForm.GEMINI
    return BodyForm.OPENAI if "message" in error and "type" in error else None
