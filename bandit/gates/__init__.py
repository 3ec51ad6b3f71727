"""The step after an answer: accept it, ask for a second opinion, or escalate.

To add a gate: write its class here; add a row to `bandit.gates.registry`; name it in
`router.config.schema`.
"""

from __future__ import annotations

from bandit.gates.registry import GATE_NAMES, load_gate, make_gate
from bandit.gates.types import Chosen, Gate, GateExample, GateInput, GateSettings, Prices, Step

__all__ = [
    "GATE_NAMES",
    "Chosen",
    "Gate",
    "GateExample",
    "GateInput",
    "GateSettings",
    "Prices",
    "Step",
    "load_gate",
    "make_gate",
]
