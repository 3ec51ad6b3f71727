"""Plain values of a file, before the schema has seen them: of whatever type somebody wrote."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


def mapped(value: Any) -> dict[str, Any]:
    """An empty one for anything that is no mapping."""
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:
    """An empty one for anything that is no list."""
    return value if isinstance(value, list) else []


def name_one(what: str, wrong: str, known: Iterable[str]) -> str:
    """The fix for a name that is not among the known ones."""
    names = list(known)
    near = difflib.get_close_matches(wrong, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"name one of the {what}: {', '.join(names)}{hint}"
