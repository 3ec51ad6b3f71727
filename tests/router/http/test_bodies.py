"""What is decoded as JSON, and how soon a body that is too much is refused."""

from __future__ import annotations

import json
import time

import pytest

from router.domain.errors import InvalidRequest
from router.http.bodies import MOST_DEPTH, MOST_VALUES, decoded

SIZE = 4 * 1024 * 1024
HEAVY = {
    "lists": b"[]," * (SIZE // 3),
    "open lists": b"[" * SIZE,
    "objects": b"{}," * (SIZE // 3),
    "keys": b'{"a":1' + b',"a":1' * (SIZE // 6),
    "texts": b'["' + b'","' * (SIZE // 3),
    "an open text": b'["' + b"\\" * (SIZE - 2),
    "open texts and commas": b'{"a' + b'\\",' * (SIZE // 3),
    "open texts": b'{"a' + b'\\"[' * (SIZE // 3),
}


@pytest.mark.parametrize("body", HEAVY.values(), ids=HEAVY)
def test_heavy_bodies_are_refused_soon(body: bytes) -> None:
    began_s = time.process_time()
    with pytest.raises(InvalidRequest):
        decoded(body, json.loads)
    assert time.process_time() - began_s < 1


def test_what_is_at_the_bounds_is_taken() -> None:
    deep = b"[" * MOST_DEPTH + b"]" * MOST_DEPTH
    assert decoded(deep, json.loads)
    with pytest.raises(InvalidRequest):
        decoded(b"[" + deep + b"]", json.loads)
    many = b"[" + b"1," * MOST_VALUES + b"1]"
    assert len(decoded(many, json.loads)) == MOST_VALUES + 1
    text = json.dumps({"a": "[,{" * 100_000}).encode()
    assert decoded(text, json.loads)


@pytest.mark.parametrize("body", [b'{"a":1,"a":1}', b'[{"b":{"a":1,"a":2}}]'])
def test_a_key_stands_once(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decoded(body, json.loads)
    assert refused.value.violations[0].field == "a"
