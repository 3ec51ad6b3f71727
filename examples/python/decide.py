"""Let the router decide, call the model yourself, and report what came of it.

Usage: ROUTER=127.0.0.1:8480 ROUTER_KEY=ar_... python decide.py
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from adaptive_router_client import Client

PROMPT = "Name three prime numbers."


@dataclass(frozen=True, slots=True)
class Called:
    """The answer of a model's API."""

    text: str
    input_tokens: int
    output_tokens: int


def main() -> None:
    """Decide, call, report the outcome, and give feedback."""
    target = os.environ.get("ROUTER", "127.0.0.1:8480")
    with Client(target, key=os.environ["ROUTER_KEY"]) as router:
        with router.decide(PROMPT) as decision:
            print(f"call {decision.model} ({decision.deployment})")
            called = call_model(decision.model, PROMPT)  # what it raises is reported, too
            decision.succeeded(input_tokens=called.input_tokens, output_tokens=called.output_tokens)
        if decision.recorded is not None:
            print(f"charged {decision.recorded.cost_usd:.6f} USD")
        router.feedback(decision, accepted=True)


def call_model(model: str, prompt: str) -> Called:
    """Stands for your own client of the model's API."""
    return Called(f"{model} on {prompt!r}: 2, 3, 5", input_tokens=12, output_tokens=9)


if __name__ == "__main__":
    main()
