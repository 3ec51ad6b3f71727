"""Prometheus' own programs, where they are."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest


def tool(name: str) -> str:
    """Returns the one of this virtual environment, else the machine's; skips without either."""
    own = Path(sys.executable).parent / name
    found = str(own) if own.exists() else shutil.which(name)
    if not found:
        pytest.skip(f"no {name}: scripts/fetch_prometheus gets it")
    return found
