"""A chat as providers write it in JSON, read into the service's form."""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

from router.domain.chat import (
    ChatRequest,
    Format,
    ImagePart,
    Message,
    Part,
    ResponseFormat,
    Role,
    TextPart,
)

MAX_MESSAGES: Final = 256
_ROLES: Final = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
}

Mistakes: TypeAlias = list[str]


class _Wrong(ValueError):
    """Says what to write instead."""


def chat_of(value: dict[str, Any]) -> tuple[ChatRequest | None, Mistakes]:
    """The chat in `prompt` or `messages` (and `response_format`), or what is wrong with it."""
    mistakes: Mistakes = []
    messages: tuple[Message, ...] = ()
    wanted = ResponseFormat()
    try:
        messages = _messages(value)
    except _Wrong as wrong:
        mistakes.append(str(wrong))
    try:
        wanted = _format(value.get("response_format"))
    except _Wrong as wrong:
        mistakes.append(str(wrong))
    return (None if mistakes else ChatRequest(messages, response_format=wanted)), mistakes


def _messages(value: dict[str, Any]) -> tuple[Message, ...]:
    if ("prompt" in value) == ("messages" in value):
        raise _Wrong("write either prompt (a text) or messages (a chat)")
    if "prompt" in value:
        text = value["prompt"]
        if not isinstance(text, str) or not text.strip():
            raise _Wrong("prompt: write some text")
        return (Message(Role.USER, (TextPart(text),)),)
    listed = value["messages"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_MESSAGES:
        raise _Wrong(f"messages: list 1 to {MAX_MESSAGES} messages")
    messages = tuple(_message(item, f"messages[{i}]") for i, item in enumerate(listed))
    if messages[-1].role is not Role.USER:
        raise _Wrong("messages: end with a message of the user: it is what is answered")
    return messages


def _message(item: Any, where: str) -> Message:
    if not isinstance(item, dict) or not isinstance(item.get("role"), str):
        raise _Wrong(f"{where}: write an object with role and content")
    role = _ROLES.get(item["role"])
    if role is None:
        raise _Wrong(f"{where}.role: write one of {', '.join(_ROLES)}")
    parts = _parts(item.get("content"), f"{where}.content")
    if role is Role.USER and not any(isinstance(p, ImagePart) or p.text.strip() for p in parts):
        raise _Wrong(f"{where}.content: write some text")
    return Message(role, parts)


def _parts(content: Any, where: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    if not isinstance(content, list) or not content:
        raise _Wrong(f"{where}: write a text, or a list of parts")
    return tuple(_part(part, f"{where}[{i}]") for i, part in enumerate(content))


def _part(part: Any, where: str) -> Part:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return TextPart(part["text"])
    image = part.get("image_url") if kind == "image_url" else None
    if isinstance(image, dict) and isinstance(image.get("url"), str):
        return ImagePart(image["url"], str(image.get("detail", "")))
    raise _Wrong(f"{where}: write a part of type text or image_url")


def _format(value: Any) -> ResponseFormat:
    if value is None:
        return ResponseFormat()
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return ResponseFormat()
    if kind == "json_object":
        return ResponseFormat(Format.JSON_OBJECT)
    described = value.get("json_schema") if kind == "json_schema" else None
    if isinstance(described, dict) and isinstance(described.get("schema"), dict):
        name = str(described.get("name", "answer"))
        return ResponseFormat(Format.JSON_SCHEMA, json.dumps(described["schema"]), name)
    raise _Wrong("response_format: write type text, json_object, or json_schema with a schema")
