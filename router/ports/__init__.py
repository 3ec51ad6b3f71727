"""The needs of the router from outside: one protocol for each thing that an adapter provides.

Each has one contract suite that every adapter passes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch."""
Ids: TypeAlias = Callable[[], str]
