"""The user's prompts: JSON lines, each mistake named with its line and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from router.domain.chat import ChatRequest
from router.domain.requests import request_digest
from router.tools.calibrate.collect.chatform import chat_of
from router.tools.calibrate.errors import PromptsInvalid

MAX_PROMPTS: Final = 10_000
MAX_LINE_BYTES: Final = 1 << 20
MAX_ID_CHARS: Final = 128
MAX_MISTAKES: Final = 100
KEYS: Final = ("prompt", "messages", "reference", "id", "response_format")


@dataclass(frozen=True, slots=True)
class Prompt:
    """line: counts from 1. reference: a JSON value, None for none."""

    line: int
    id: str
    chat: ChatRequest
    reference: Any = None


@dataclass(slots=True)
class _Seen:
    """What earlier lines said: id -> line, question -> prompt."""

    ids: dict[str, int]
    questions: dict[str, Prompt]


def read_prompts(lines: Iterable[bytes], file: str) -> list[Prompt]:
    """Prompts in order; blank lines are skipped, and so is a line that repeats another.

    lines: each at most `MAX_LINE_BYTES` + 1 long, so that a longer one shows.

    Raises:
        PromptsInvalid: a mistake in any line, no prompt at all, or more than `MAX_PROMPTS`.

    """
    prompts: list[Prompt] = []
    mistakes: list[str] = []
    seen = _Seen({}, {})
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


def _read(line: bytes, number: int, seen: _Seen) -> Prompt | list[str] | None:
    """The prompt, its mistakes, or None for one that stands in an earlier line as well."""
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
    if mistakes or chat is None:
        return mistakes
    return _new(Prompt(number, str(name), chat, value.get("reference")), seen)


def _new(prompt: Prompt, seen: _Seen) -> Prompt | list[str] | None:
    seen.ids[prompt.id] = prompt.line
    first = seen.questions.setdefault(request_digest(prompt.chat), prompt)
    if first is prompt:
        return prompt
    if first.reference != prompt.reference:
        return [f"reference: line {first.line} asks the same with another reference: keep one"]
    return None


def _unknown(value: dict[str, Any]) -> Iterator[str]:
    """Columns of the user's own are welcome; a slip of the pen is not."""
    for key in value:
        near = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.75)
        if key not in KEYS and near:
            yield f"{key}: no such key: did you mean {near[0]}?"
