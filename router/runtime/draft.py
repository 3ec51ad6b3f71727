"""The metaschema of JSON Schema, draft 2020-12, as a table: one step for each keyword of a schema.

The library's own check takes 6 ms for a kilobyte of schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

MOST_PATTERN_CHARACTERS: Final = 4_096
"""Characters of all regular expressions of a schema: compiling them is what a check costs most."""
_ANCHOR: Final = re.compile(r"[A-Za-z_][-A-Za-z0-9._]*")
_FLAGS: Final = re.compile(r"\(\?[aiLmsux-]")
"""No such group is known to JSON Schema's regular expressions. Compiled, it could take minutes."""
_TYPES: Final = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))

_Check = Callable[["DraftCheck", Any], bool]


class DraftCheck:
    """The check of one schema, whose depth and number of nodes the caller has bounded."""

    def __init__(self) -> None:
        self._pattern_left = MOST_PATTERN_CHARACTERS

    def keeps(self, schema: Any) -> bool:
        """True if a parsed schema is one; its references are not followed."""
        if not isinstance(schema, dict):
            return isinstance(schema, bool)
        return all(_KEYWORDS[k](self, v) for k, v in schema.items() if k in _KEYWORDS)

    def each(self, schemas: Any) -> bool:
        return isinstance(schemas, list) and bool(schemas) and all(map(self.keeps, schemas))

    def named(self, schemas: Any) -> bool:
        return isinstance(schemas, dict) and all(map(self.keeps, schemas.values()))

    def by_pattern(self, schemas: Any) -> bool:
        return self.named(schemas) and all(map(self.pattern, schemas))

    def depending(self, value: Any) -> bool:
        return isinstance(value, dict) and all(_names(v) or self.keeps(v) for v in value.values())

    def pattern(self, text: Any) -> bool:
        if not isinstance(text, str):
            return False
        self._pattern_left -= len(text)
        if self._pattern_left < 0:
            return False
        if _FLAGS.search(text):
            return True
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError):
            return False
        return True


def _string(value: Any) -> bool:
    return isinstance(value, str)


def _boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _list(value: Any) -> bool:
    return isinstance(value, list)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _positive(value: Any) -> bool:
    return _number(value) and not value <= 0


def _count(value: Any) -> bool:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return whole and not isinstance(value, bool) and value >= 0


def _names(value: Any) -> bool:
    return _list(value) and all(map(_string, value)) and len(set(value)) == len(value)


def _required(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_names, value.values()))


def _type(value: Any) -> bool:
    named = [value] if isinstance(value, str) else value
    return _names(named) and bool(named) and _TYPES.issuperset(named)


def _anchor(value: Any) -> bool:
    return _string(value) and _ANCHOR.fullmatch(value) is not None


def _id(value: Any) -> bool:
    return _string(value) and "#" not in value.removesuffix("#")


def _vocabulary(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_boolean, value.values()))


def _table() -> dict[str, _Check]:
    kinds: dict[Callable[[Any], bool], str] = {
        _string: "$schema $ref $dynamicRef $recursiveRef $comment title description format"
        " contentEncoding contentMediaType",
        _boolean: "uniqueItems deprecated readOnly writeOnly",
        _list: "enum examples",
        _number: "maximum minimum exclusiveMaximum exclusiveMinimum",
        _positive: "multipleOf",
        _count: "maxLength minLength maxItems minItems maxContains minContains maxProperties"
        " minProperties",
        _names: "required",
        _required: "dependentRequired",
        _type: "type",
        _anchor: "$anchor $dynamicAnchor $recursiveAnchor",
        _id: "$id",
        _vocabulary: "$vocabulary",
    }
    deeper: dict[_Check, str] = {
        DraftCheck.keeps: "items contains additionalProperties propertyNames if then else not"
        " unevaluatedItems unevaluatedProperties contentSchema",
        DraftCheck.each: "prefixItems allOf anyOf oneOf",
        DraftCheck.named: "properties dependentSchemas $defs definitions",
        DraftCheck.by_pattern: "patternProperties",
        DraftCheck.depending: "dependencies",
        DraftCheck.pattern: "pattern",
    }
    table = {word: _leaf(kind) for kind, words in kinds.items() for word in words.split()}
    return table | {word: check for check, words in deeper.items() for word in words.split()}


def _leaf(kind: Callable[[Any], bool]) -> _Check:
    return lambda _, value: kind(value)


_KEYWORDS: Final = _table()
