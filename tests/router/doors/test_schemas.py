"""Which JSON Schemas may stand in a request."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from router.doors.schemas import MAX_DEPTH, is_schema

STRING = {"type": "string"}
MIXED = [item for i in range(20_000) for item in (i, str(i))]


def doubling(levels: int) -> dict[str, object]:
    """Small as a text; a validator visits 2^levels places."""
    parts: dict[str, object] = {"a0": STRING}
    for i in range(levels):
        parts[f"a{i + 1}"] = {"allOf": [{"$ref": f"#/$defs/a{i}"}] * 2}
    return {"$defs": parts, "$ref": f"#/$defs/a{levels}"}


def nested(levels: int) -> dict[str, object]:
    schema: dict[str, object] = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


GOOD = {
    "anything": True,
    "empty": {},
    "a part": {"$ref": "#/$defs/a", "$defs": {"a": STRING}},
    "an escaped part": {"$ref": "#/$defs/a~1b~0c", "$defs": {"a/b~c": STRING}},
    "a part by its percent encoding": {"$ref": "#/$defs/a%41", "$defs": {"aA": STRING}},
    "an item of a list": {"prefixItems": [STRING, {"$ref": "#/prefixItems/0"}]},
    "a tree": {"properties": {"l": {"$ref": "#"}, "r": {"$ref": "#"}}},
    "a long chain": {
        "$defs": {
            "a0": STRING,
            **{f"a{i + 1}": {"items": {"$ref": f"#/$defs/a{i}"}} for i in range(20)},
        },
        "$ref": "#/$defs/a20",
    },
    "a property called $ref": {"properties": {"$ref": STRING, "$id": STRING}},
    "deep enough": nested(MAX_DEPTH),
    "doubling a little": doubling(5),
    "many properties": {"properties": {f"p{i}": STRING for i in range(1_000)}},
}
BAD = {
    "a number": 3,
    "an unknown type": {"type": "nonsense"},
    "a broken pattern": {"pattern": "["},
    "a broken pattern of names": {"patternProperties": {"(": {}}},
    "a reference that is no text": {"$ref": 3},
    "a remote reference": {"$ref": "https://a.example/x"},
    "a remote reference below": {"items": {"not": {"$ref": "other.json#/a"}}},
    "a remote dynamic reference": {"$dynamicRef": "https://a.example/x#a"},
    "a dangling reference": {"$ref": "#/$defs/ghost"},
    "a part that is called like an encoding": {"$ref": "#/$defs/a%41", "$defs": {"a%41": STRING}},
    "a dangling item": {"prefixItems": [STRING], "items": {"$ref": "#/prefixItems/1"}},
    "into a scalar": {"$ref": "#/type/x", "type": "string"},
    "an anchor": {"$ref": "#a", "$defs": {"a": {"$anchor": "a"}}},
    "another root": {"$defs": {"a": {"$id": "b", "$ref": "#/$defs/c"}, "c": STRING}},
    "too deep": nested(MAX_DEPTH + 1),
    "doubling without end": doubling(24),
    "types that repeat, compared each with each": {"type": MIXED},
    "names that do": {"dependencies": {"a": MIXED}},
}


@pytest.mark.parametrize("name", GOOD)
def test_let_in(name: str) -> None:
    assert is_schema(json.dumps(GOOD[name]))
    # No reference of it leaves the schema or dangles, whatever an answer looks like.
    for answer in ("text", [["x"]], {"l": {"r": {}}, "p1": "x"}):
        Draft202012Validator(GOOD[name]).is_valid(answer)


@pytest.mark.parametrize("name", BAD)
def test_kept_out(name: str) -> None:
    assert not is_schema(json.dumps(BAD[name]))


@pytest.mark.parametrize("text", ["", "{", "nul", "[" * 100_000, '{"a": ' * 100_000])
def test_no_json(text: str) -> None:
    assert not is_schema(text)
