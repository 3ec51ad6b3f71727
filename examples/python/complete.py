"""Ask the router, stream an answer, and say how good an answer was.

Usage: ROUTER=127.0.0.1:8480 ROUTER_KEY=ar_... python complete.py
"""

from __future__ import annotations

import os

import grpc
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc

TIMEOUT_S = 60


def main() -> None:
    """Complete, give feedback, look at the decision, then stream."""
    metadata = [("authorization", f"Bearer {os.environ['ROUTER_KEY']}")]
    with grpc.insecure_channel(os.environ.get("ROUTER", "127.0.0.1:8480")) as channel:
        router = router_pb2_grpc.RouterServiceStub(channel)

        routing = router_pb2.RoutingOptions(max_cost_usd=0.05, no_cache=True)
        request = router_pb2.CompleteRequest(chat=ask("What is 17 * 23?"), routing=routing)
        response = router.Complete(request, metadata=metadata, timeout=TIMEOUT_S)
        receipt = response.receipt
        print(f"{receipt.arm} for {receipt.cost_usd:.6f} USD: {response.answer.text}")

        said = router_pb2.FeedbackRequest(decision_id=receipt.decision_id, quality=1.0)
        router.Feedback(said, metadata=metadata, timeout=TIMEOUT_S)
        asked = router_pb2.GetDecisionRequest(decision_id=receipt.decision_id)
        decision = router.GetDecision(asked, metadata=metadata, timeout=TIMEOUT_S)
        for plan in decision.plans:
            print(f"  {plan.plan}: probability {plan.probability:.4f}")

        stream = router.StreamComplete(
            router_pb2.StreamCompleteRequest(chat=ask("Tell me about rivers.")),
            metadata=metadata,
            timeout=TIMEOUT_S,
        )
        for event in stream:
            if event.WhichOneof("event") == "text_delta":
                print(event.text_delta, end="", flush=True)
            elif event.HasField("done"):
                print(f"\n{event.done.receipt.plan}: {event.done.output_tokens} tokens")


def ask(text: str) -> chat_pb2.ChatRequest:
    """A conversation of one user message."""
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, text=text)
    return chat_pb2.ChatRequest(messages=[message])


if __name__ == "__main__":
    main()
