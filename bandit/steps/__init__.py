"""The step after an answer: accept it, ask for a second opinion, or escalate."""

from __future__ import annotations

from bandit.steps.registry import GATE_NAMES, load_gate, make_gate
from bandit.steps.settings import GateSettings
from bandit.steps.types import Chosen, Gate, Lesson, Prices, Seen, Step

__all__ = [
    "GATE_NAMES",
    "Chosen",
    "Gate",
    "GateSettings",
    "Lesson",
    "Prices",
    "Seen",
    "Step",
    "load_gate",
    "make_gate",
]
