"""The user's prompts: JSON lines, each mistake with its line and what to write instead."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from router.domain.chat import (
    ChatRequest,
    Content,
    Format,
    ImagePart,
    Message,
    ResponseFormat,
    Role,
    TextPart,
)
from router.domain.errors import RouterError
from router.domain.requests import request_digest


class PromptsInvalid(RouterError):
    """The file of prompts holds mistakes; the message has one line for each."""

    reason = "PROMPTS_INVALID"


MAX_PROMPTS: Final = 10_000
MAX_LINE_BYTES: Final = 1 << 20
MAX_ID_CHARS: Final = 128
MAX_MISTAKES: Final = 100
KEYS: Final = ("prompt", "messages", "reference", "id", "response_format", "task")


@dataclass(frozen=True, slots=True)
class Prompt:
    """line: counts from 1. reference: a JSON value, None for none. task: the label, "" for none."""

    line: int
    id: str
    chat: ChatRequest
    reference: Any = None
    task: str = ""


@dataclass(slots=True)
class _EarlierLines:
    """Contents of earlier lines: id -> line, question -> prompt."""

    ids: dict[str, int]
    questions: dict[str, Prompt]


def read_prompts(lines: Iterable[bytes], file: str) -> list[Prompt]:
    """Read prompts in order; blank lines and repeated prompts are skipped.

    Args:
        lines: each at most `MAX_LINE_BYTES` + 1 long, so that a longer one shows.
        file: its name, for messages.

    Raises:
        PromptsInvalid: a mistake in any line, no prompt at all, or more than `MAX_PROMPTS`.

    """
    prompts: list[Prompt] = []
    mistakes: list[str] = []
    seen = _EarlierLines({}, {})
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if len(prompts) + len(mistakes) >= MAX_PROMPTS:
            mistakes.append(f"{file}:{number}: keep to {MAX_PROMPTS} prompts: cut the file here")
            break
        read = _read(line, number, seen)
        if isinstance(read, Prompt):
            prompts.append(read)
        mistakes += [f"{file}:{number}: {fix}" for fix in read] if isinstance(read, list) else []
    if not prompts and not mistakes:
        mistakes = [f'{file}:1: write a line for each prompt, such as {{"prompt": "..."}}']
    if mistakes:
        raise PromptsInvalid("\n".join(_shortened(mistakes)))
    return prompts


def _shortened(mistakes: list[str]) -> list[str]:
    more = len(mistakes) - MAX_MISTAKES
    return [*mistakes[:MAX_MISTAKES], f"... and {more} more"] if more > 0 else mistakes


def _read(line: bytes, number: int, seen: _EarlierLines) -> Prompt | list[str] | None:
    """Returns the prompt, its mistakes, or None for one that an earlier line has as well."""
    if len(line) > MAX_LINE_BYTES:
        return [f"keep a line to {MAX_LINE_BYTES} bytes"]
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ["write one JSON object on the line"]
    if not isinstance(value, dict):
        return ['write a JSON object, such as {"prompt": "..."}']
    chat, mistakes = chat_of(value)
    mistakes += _unknown(value)
    name = value.get("id", number)
    if isinstance(name, bool) or not isinstance(name, str | int) or len(str(name)) > MAX_ID_CHARS:
        mistakes.append(f"id: write at most {MAX_ID_CHARS} characters, or a whole number")
    elif str(name) in seen.ids and "id" in value:
        mistakes.append(f"id: line {seen.ids[str(name)]} has it already: write another")
    task = value.get("task") or ""
    if not isinstance(task, str) or len(task) > MAX_ID_CHARS:
        mistakes.append(f"task: write at most {MAX_ID_CHARS} characters, as requests name it")
    if mistakes or chat is None:
        return mistakes
    return _new(Prompt(number, str(name), chat, value.get("reference"), task), seen)


def _new(prompt: Prompt, seen: _EarlierLines) -> Prompt | list[str] | None:
    seen.ids[prompt.id] = prompt.line
    first = seen.questions.setdefault(request_digest(prompt.chat), prompt)
    if first is prompt:
        return prompt
    if first.reference != prompt.reference:
        return [f"reference: line {first.line} asks the same with another reference: keep one"]
    return None


def _unknown(value: dict[str, Any]) -> Iterator[str]:
    """Yields mistakes for unknown keys that look like known ones; others are the user's own."""
    for key in value:
        near = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.75)
        if key not in KEYS and near:
            yield f"{key}: no such key: did you mean {near[0]}?"


MAX_BYTES: Final = 1 << 30


def prompts_in(path: Path) -> list[Prompt]:
    """Read the prompts of a file in bounds. Raises PromptsInvalid."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PromptsInvalid(f"{path}:1: keep the file to {MAX_BYTES} bytes")
        return read_prompts(_lines(path), str(path))
    except OSError:
        raise PromptsInvalid(f"{path}:1: name a file that this process can read") from None


def _lines(path: Path) -> Iterator[bytes]:
    """Yields lines; an overlong one is cut just beyond the limit, so that it shows."""
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES + 2):
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(MAX_LINE_BYTES)
            yield line.rstrip(b"\r\n")


MAX_MESSAGES: Final = 256
_ROLES: Final = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
}

Mistakes: TypeAlias = list[str]


class _ChatMistake(ValueError):
    """A mistake in a chat; the message says what to write instead."""


def chat_of(value: dict[str, Any]) -> tuple[ChatRequest | None, Mistakes]:
    """Read `prompt` or `messages` (and `response_format`): the chat, or the mistakes in it."""
    mistakes: Mistakes = []
    messages: tuple[Message, ...] = ()
    wanted = ResponseFormat()
    try:
        messages = _messages(value)
    except _ChatMistake as wrong:
        mistakes.append(str(wrong))
    try:
        wanted = _format(value.get("response_format"))
    except _ChatMistake as wrong:
        mistakes.append(str(wrong))
    return (None if mistakes else ChatRequest(messages, response_format=wanted)), mistakes


def _messages(value: dict[str, Any]) -> tuple[Message, ...]:
    if ("prompt" in value) == ("messages" in value):
        raise _ChatMistake("write either prompt (a text) or messages (a chat)")
    if "prompt" in value:
        text = value["prompt"]
        if not isinstance(text, str) or not text.strip():
            raise _ChatMistake("prompt: write some text")
        return (Message(Role.USER, (TextPart(text),)),)
    listed = value["messages"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_MESSAGES:
        raise _ChatMistake(f"messages: list 1 to {MAX_MESSAGES} messages")
    messages = tuple(_message(item, f"messages[{i}]") for i, item in enumerate(listed))
    if messages[-1].role is not Role.USER:
        raise _ChatMistake("messages: end with a message of the user: it is what is answered")
    return messages


def _message(item: Any, where: str) -> Message:
    if not isinstance(item, dict) or not isinstance(item.get("role"), str):
        raise _ChatMistake(f"{where}: write an object with role and content")
    role = _ROLES.get(item["role"])
    if role is None:
        raise _ChatMistake(f"{where}.role: write one of {', '.join(_ROLES)}")
    parts = _parts(item.get("content"), f"{where}.content")
    if role is Role.USER and not any(isinstance(p, ImagePart) or p.text.strip() for p in parts):
        raise _ChatMistake(f"{where}.content: write some text")
    return Message(role, parts)


def _parts(content: Any, where: str) -> tuple[Content, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    if not isinstance(content, list) or not content:
        raise _ChatMistake(f"{where}: write a text, or a list of parts")
    return tuple(_part(part, f"{where}[{i}]") for i, part in enumerate(content))


def _part(part: Any, where: str) -> Content:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return TextPart(part["text"])
    image = part.get("image_url") if kind == "image_url" else None
    if isinstance(image, dict) and isinstance(image.get("url"), str):
        return ImagePart(image["url"], str(image.get("detail", "")))
    raise _ChatMistake(f"{where}: write a part of type text or image_url")


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
    raise _ChatMistake(
        "response_format: write type text, json_object, or json_schema with a schema"
    )
