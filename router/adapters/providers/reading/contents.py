"""Text among the parts of a content, for contents that are more than one text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from router.adapters.providers.reading.fields import MAX_DEPTH, Json, string_of

TEXT: Final = "text"
HIDDEN: Final = "hidden"
REFUSAL: Final = "refusal"
UNREAD: Final = "unread"
_TEXT_TYPES: Final = ("", "text", "output_text", "text_delta", "markdown")


def parts_of(content: Any, depth: int = MAX_DEPTH) -> Iterator[tuple[str, str]]:
    """Yields kind and text of each part of a content; UNREAD for what has no form of a text.

    Parts of other kinds are left out: images, references, results of the provider's own tools.
    """
    if isinstance(content, str):
        yield TEXT, content
    elif isinstance(content, list) and depth:
        for part in content:
            yield from parts_of(part, depth - 1)
    elif isinstance(content, dict) and depth:
        kind, field_names = _kind_of(content)
        told = next((v for name in field_names if (v := content.get(name))), None)
        is_read = told is None or isinstance(told, str | list | dict)
        yield kind if is_read else UNREAD, text_of(told, depth - 1)
    elif content is not None:
        yield UNREAD, ""


def _kind_of(part: Json) -> tuple[str, tuple[str, ...]]:
    """Returns the kind of a part, and the fields that may hold its text."""
    told = string_of(part.get("type")).lower()
    if part.get("thought") is True or "think" in told or "reason" in told:
        return HIDDEN, ("thinking", "text", "reasoning", "content", "summary", "data")
    if told == "refusal":
        return REFUSAL, ("refusal", "text")
    return TEXT, ("text", "value") if told in _TEXT_TYPES else ()


def text_of(content: Any, depth: int = MAX_DEPTH) -> str:
    """Returns all text in a content, of whatever kind."""
    if isinstance(content, str):
        return content
    return "".join(text for _, text in parts_of(content, depth))
