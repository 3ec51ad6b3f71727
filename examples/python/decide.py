"""Let the router decide, call the model yourself, and report what came of it.

Usage: ROUTER=127.0.0.1:8480 ROUTER_KEY=ar_... python decide.py
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import grpc
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc

TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Called:
    """The answer of a model's API."""

    text: str
    input_tokens: int
    output_tokens: int


def main() -> None:
    """Decide, call, report the outcome, and give feedback."""
    metadata = [("authorization", f"Bearer {os.environ['ROUTER_KEY']}")]
    with grpc.insecure_channel(os.environ.get("ROUTER", "127.0.0.1:8480")) as channel:
        router = router_pb2_grpc.RouterServiceStub(channel)

        message = chat_pb2.Message(role=chat_pb2.ROLE_USER, text="Name three prime numbers.")
        chat = chat_pb2.ChatRequest(messages=[message])
        decided = router.Decide(
            router_pb2.DecideRequest(chat=chat), metadata=metadata, timeout=TIMEOUT_S
        )
        receipt = decided.receipt
        print(f"call {receipt.model} ({receipt.deployment})")

        began_s = time.perf_counter()
        report = router_pb2.ReportOutcomeRequest(decision_id=receipt.decision_id)
        try:
            called = call_model(receipt.model, message.text)
        except TimeoutError:
            report.failure = "timeout"
        else:
            report.input_tokens, report.output_tokens = called.input_tokens, called.output_tokens
        report.latency_ms = (time.perf_counter() - began_s) * 1_000
        outcome = router.ReportOutcome(report, metadata=metadata, timeout=TIMEOUT_S)
        print(f"charged {outcome.cost_usd:.6f} USD")

        said = router_pb2.FeedbackRequest(decision_id=receipt.decision_id, accepted=True)
        router.Feedback(said, metadata=metadata, timeout=TIMEOUT_S)


def call_model(model: str, prompt: str) -> Called:
    """Stands for your own client of the model's API."""
    return Called(f"{model} on {prompt!r}: 2, 3, 5", input_tokens=12, output_tokens=9)


if __name__ == "__main__":
    main()
