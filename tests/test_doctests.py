"""Examples in docstrings hold; a module that has one needs nothing more to have it run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bandit", "router", "bench", "demo")


def with_examples() -> list[str]:
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    found = (file.relative_to(ROOT) for file in files if ">>>" in file.read_text(encoding="utf-8"))
    return sorted(".".join(file.with_suffix("").parts) for file in found)


@pytest.mark.parametrize("module", with_examples())
def test_examples_hold(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
