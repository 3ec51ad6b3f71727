"""How much a request may hold, and what is wrong with it, every field at once."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from router.domain.errors import FieldViolation, InvalidRequest
from router.doors.schemas import is_schema
from router.runtime.draft import MOST_PATTERN_CHARACTERS

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

MAX_TOLD = 16
"""Violations in one status: gRPC metadata holds 8 KiB, and more than that hides them all."""

_SCHEMA_FIX = (
    "send valid JSON Schema (2020-12), 32 deep, with $ref to its own parts (#/...) and at most "
    f"{MOST_PATTERN_CHARACTERS} characters of patterns"
)


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """characters: of all texts together. schema_characters: of one JSON Schema.

    all_...: of all of a request together, since checking them takes time.
    """

    messages: int = 1_024
    parts: int = 64
    characters: int = 400_000
    all_parts: int = 4_096
    tools: int = 128
    tool_calls: int = 128
    all_tool_calls: int = 4_096
    schema_characters: int = 65_536
    all_schema_characters: int = 131_072
    stops: int = 8
    stop_characters: int = 256
    name_characters: int = 128
    url_characters: int = 2_000_000  # data: URLs carry the image itself
    output_tokens: int = 1_000_000
    weight: float = 10.0


class Violations:
    """Raise them together at the end with `done`."""

    def __init__(self) -> None:
        self._found: list[FieldViolation] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, field: str, description: str) -> None:
        self._found.append(FieldViolation(field, description))

    def require(self, holds: object, field: str, description: str) -> None:
        if not holds:
            self.add(field, description)

    def within(self, value: float | None, low: float, high: float, field: str) -> None:
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            self.add(field, f"send a number from {low:g} to {high:g}")

    def short(self, text: str, most: int, field: str) -> None:
        self.require(len(text) <= most, field, f"send at most {most} characters")

    def schema(self, text: str, most: int, field: str) -> None:
        """JSON Schema text that stands on its own."""
        if len(text) > most:
            self.add(field, f"send at most {most} characters")
        elif not is_schema(text):
            self.add(field, _SCHEMA_FIX)

    def done(self) -> None:
        """Raises InvalidRequest."""
        if self._found:
            raise InvalidRequest(*self._told())

    def _told(self) -> list[FieldViolation]:
        more = len(self._found) - MAX_TOLD
        rest = [FieldViolation("request", f"and {more} more: mend these first")] if more > 0 else []
        return self._found[:MAX_TOLD] + rest
