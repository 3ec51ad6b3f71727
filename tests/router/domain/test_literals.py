"""The literals of a prompt stand in stored cache keys: one regular expression says which."""

from __future__ import annotations

import random
import re

import pytest

from router.domain import requests
from router.domain.requests import literals_of

AT_ONCE = re.compile(
    r"\d+(?:[.,:/]\d+)*|\"[^\"]*\"|`[^`]*`|\b(?:not|no|never|without|except|non)\b|n't\b"
    r"|(?<=[a-z,;:(] )[A-Z][\w-]*",
)
PIECES = [
    *("a", "n", "not", "no", "never", "non", "n't", "don't", "Rome", "X-1_y", "A", "B", "é", "中"),
    *('"', "`", '"a b"', "`x`", "1", "2.5", "1:2/3", "3,", ".", ",", ";", ":", "(", ")", "-", "_"),
    *("。", "/", "—", " ", " ", " ", "\n", "\t", "\u00a0", "\u2028", "'"),
]


@pytest.mark.parametrize("window", [1, 2, 7, 4_096])
def test_as_at_once(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    monkeypatch.setattr(requests, "_WINDOW", window)
    rng = random.Random(window)
    for _ in range(3_000):
        text = "".join(rng.choices(PIECES, k=rng.randrange(40)))
        assert literals_of(text) == AT_ONCE.findall(text), text


@pytest.mark.parametrize(
    "unit", ["word ", "A B ", '"', "`", "n", "1.", '" ', "The fox can't, 12. "]
)
def test_long_prompts_as_at_once(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    assert literals_of(text) == AT_ONCE.findall(text)
