"""Checks that a text is a JSON Schema that stands on its own and unfolds to a bounded size."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from router.runtime.draft import DraftCheck

MAX_DEPTH = 32
MAX_STEPS = 10_000
REMEMBERED = 128
_REFERENCES = ("$ref", "$dynamicRef")


@lru_cache(maxsize=REMEMBERED)
def is_schema(text: str) -> bool:
    """JSON Schema text, draft 2020-12, whose references are JSON pointers into itself.

    Remembered by text: callers send the same tools again and again.
    """
    try:
        schema = json.loads(text)
        if not isinstance(schema, dict | bool):
            return False
        _Walk(schema).steps(schema, 0)
        return DraftCheck().keeps(schema)
    except (ValueError, RecursionError):
        return False


class _Walk:
    """Follows every reference, as a validator would.

    A remote reference would be fetched, and a dangling one fail, while an answer waits for its
    verdict. References that double at each level make a small schema an endless check. Recursive
    ones end with the answer, so they are followed once: the check of an answer counts its steps.
    """

    def __init__(self, root: Any) -> None:
        self._root = root
        self._known: dict[int, int] = {}

    def steps(self, value: Any, depth: int) -> int:
        """Objects and lists in `value`, its references unfolded.

        Raises ValueError, RecursionError.
        """
        if depth > MAX_DEPTH:
            raise RecursionError
        if not isinstance(value, dict | list):
            return 0
        if id(value) not in self._known:
            self._known[id(value)] = 1  # what a recursive reference finds on its way back
            self._known[id(value)] = total = 1 + self._below(value, depth)
            if total > MAX_STEPS:
                raise ValueError("unfolds too far")
        return self._known[id(value)]

    def _below(self, value: dict[str, Any] | list[Any], depth: int) -> int:
        if isinstance(value, list):
            return sum(self.steps(item, depth + 1) for item in value)
        if value is not self._root and isinstance(value.get("$id"), str):
            raise ValueError("an inner $id gives its references another root")
        targets = (value[key] for key in _REFERENCES if isinstance(value.get(key), str))
        unfolded = sum(self.steps(self._find(target), 0) for target in targets)
        return unfolded + sum(self.steps(item, depth + 1) for item in value.values())

    def _find(self, reference: str) -> Any:
        head, slash, pointer = reference.partition("/")
        if head != "#":
            raise ValueError("not a pointer into this schema")
        place = self._root
        for step in unquote(pointer).split("/") if slash else []:
            key = step.replace("~1", "/").replace("~0", "~")
            try:
                place = place[int(key)] if isinstance(place, list) else place[key]
            except (LookupError, TypeError):
                raise ValueError("points nowhere") from None
        return place
