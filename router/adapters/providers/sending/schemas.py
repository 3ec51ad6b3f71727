"""JSON texts of a request as values that every dialect can send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from router.domain.chat import Tool

STRICT: Final = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "items", "enum", "const"),
        *("description", "title", "anyOf", "$ref", "$defs", "definitions"),
    }
)
"""Keywords that strict mode takes for certain; a schema with others is sent without it."""
_UNSENDABLE = str.maketrans(dict.fromkeys(range(55296, 57344), "�"))


def schema_of(text: str) -> Any:
    """Returns the value of a JSON text; "" counts as an object without fields.

    Half a surrogate pair, which JSON can escape and UTF-8 can't hold, becomes U+FFFD. Raises
    ValueError.
    """
    value = json.loads(text or "{}")
    return _sendable(value) if "\\u" in text else value


def object_of(text: str) -> dict[str, Any]:
    """Returns the arguments of an earlier call; what is no object becomes a field of one.

    A model may have broken off in the middle of them, which must not end its conversation.
    """
    try:
        value = schema_of(text)
    except (ValueError, RecursionError):
        value = text
    return value if isinstance(value, dict) else {"arguments": value}


def arguments_text(text: str) -> str:
    """Returns them as JSON text: as they stand, where they are an object in strict JSON."""
    try:
        is_object = isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, RecursionError):
        is_object = False
    return text if is_object else msgspec.json.encode(object_of(text)).decode()


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return value.translate(_UNSENDABLE)
    if isinstance(value, list):
        return list(map(_sendable, value))
    if isinstance(value, dict):
        return {_sendable(name): _sendable(item) for name, item in value.items()}
    return value


def parameters_of(tool: Tool) -> dict[str, Any]:
    """Returns a schema that says it is an object with properties: some refuse one that does not."""
    schema = schema_of(tool.parameters)
    said = schema if isinstance(schema, dict) else {}
    return {"type": "object", "properties": {}} | said


def describes_object(schema: Any) -> bool:
    """True if only objects can match."""
    return isinstance(schema, dict) and schema.get("type") == "object"


def is_closed(schema: Any) -> bool:
    """True if strict mode takes it: every object requires all it has and allows no more."""
    return isinstance(schema, dict) and "anyOf" not in schema and all(map(_strict, _within(schema)))


def _within(schema: Any) -> Iterator[Any]:
    """Yields a schema and all schemas within it."""
    yield schema
    if not isinstance(schema, dict):
        return
    inner = [schema.get("items"), *(schema.get("anyOf") or ())]
    for key in ("properties", "$defs", "definitions"):
        inner += (schema.get(key) or {}).values()
    for each in inner:
        if each is not None:
            yield from _within(each)


def _strict(schema: Any) -> bool:
    if not isinstance(schema, dict) or not STRICT.issuperset(schema):
        return False
    if schema.get("type") != "object" and "properties" not in schema:
        return True
    names, required = schema.get("properties") or {}, schema.get("required") or ()
    return schema.get("additionalProperties") is False and {*required} == {*names}
