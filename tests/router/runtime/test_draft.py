"""The table of the metaschema says what the library's own check says."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from router.runtime.draft import MOST_PATTERN_CHARACTERS, DraftCheck

METASCHEMA = Draft202012Validator.META_SCHEMA
LIBRARY = Draft202012Validator(METASCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.0, 1.5, -0.5, 1e300, "", "a", "#", "#a", "a#", "object"),
    *("^a$", "[", "(", "_a.b-1", "1a", [], {}, [True], ["a"], ["a", "a"], ["string", "null"]),
    *(["string", "string"], [1], [{}], [{"type": 3}], {"a": True}, {"a": {}}, {"a": {"type": 1}}),
    *({"a": ["b"]}, {"a": ["b", "b"]}, {"a": [1]}, {"[": {}}, {"^a": {}}, {"a": 3}, {"": False}),
]


def keywords() -> list[str]:
    words: set[str] = set(METASCHEMA["properties"])
    for part in METASCHEMA["allOf"]:
        uri = "https://json-schema.org/draft/2020-12/" + part["$ref"]
        words |= set(LIBRARY._resolver.lookup(uri).contents["properties"])  # noqa: SLF001 - the library's own copy
    return sorted(words)


@pytest.mark.parametrize("keyword", [*keywords(), "x-other"])
def test_each_keyword_with_each_kind_of_value(keyword: str) -> None:
    for value in VALUES:
        for schema in ({keyword: value}, {"not": {keyword: value}}, {"allOf": [{keyword: value}]}):
            assert DraftCheck().keeps(schema) is LIBRARY.is_valid(schema), schema


def test_every_keyword_is_known() -> None:
    assert {"$ref", "type", "contentSchema", "dependencies", "$dynamicAnchor"} <= set(keywords())
    assert len(keywords()) > 55


def test_schemas_of_many_keywords() -> None:
    rng, words = random.Random(11), keywords()
    said = [0, 0]
    for _ in range(2_000):
        schema = {w: rng.choice(VALUES) for w in rng.sample(words, rng.randrange(1, 4))}
        expected = LIBRARY.is_valid(schema)
        assert DraftCheck().keeps(schema) is expected, json.dumps(schema)
        said[expected] += 1
    assert min(said) > 100


@pytest.mark.parametrize("value", [None, 3, "a", [], 1.5])
def test_what_is_no_schema(value: object) -> None:
    assert not DraftCheck().keeps(value)


def test_patterns_are_bounded_together() -> None:
    half = "a" * (MOST_PATTERN_CHARACTERS // 2)
    assert DraftCheck().keeps({"pattern": half, "not": {"pattern": half}})
    assert not DraftCheck().keeps({"pattern": half, "not": {"pattern": half + "a"}})
    assert not DraftCheck().keeps({"patternProperties": {half: {}, half + "a": {}}})


BOMB = "(?i)" + "[\u0100-\U0010ffff]" * 200
"""Compiled, each of these takes a second."""


@pytest.mark.parametrize("pattern", [BOMB, "a{99999999999999999999}", "(" * 2_000 + ")" * 2_000])
def test_patterns_that_python_would_take_long_or_fail_to_compile(pattern: str) -> None:
    assert DraftCheck().keeps({"pattern": pattern}) in (True, False)
