"""Collects what is wrong with a message, every field at once."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from router.core.errors import FieldViolation, InvalidRequest

MAX_SCHEMA_DEPTH = 32
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Violations:
    """Raise them together at the end with `done`."""

    def __init__(self) -> None:
        self._found: list[FieldViolation] = []

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
        """JSON Schema text (draft 2020-12) that stands on its own."""
        if len(text) > most:
            self.add(field, f"send at most {most} characters")
        elif not _is_schema(text):
            self.add(field, "send valid JSON Schema (2020-12) with local $ref only, 32 deep")

    def done(self) -> None:
        """Raises InvalidRequest."""
        if self._found:
            raise InvalidRequest(*self._found)


def _is_schema(text: str) -> bool:
    try:
        schema = json.loads(text)
        if not isinstance(schema, dict | bool):
            return False
        # Remote references would be fetched, or fail, while an answer waits for its verdict.
        if any(not ref.startswith("#") for ref in _references(schema, 0)):
            return False
        Draft202012Validator.check_schema(schema)
    except (ValueError, RecursionError, SchemaError):
        return False
    return True


def _references(value: Any, depth: int) -> Iterator[str]:
    if depth > MAX_SCHEMA_DEPTH:
        raise RecursionError
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("$ref", "$dynamicRef") and isinstance(item, str):
                yield item
            yield from _references(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item, depth + 1)
