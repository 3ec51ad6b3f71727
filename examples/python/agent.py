"""Work on a task in several turns, and say at the end whether it was solved.

Usage: ROUTER=127.0.0.1:8480 ROUTER_KEY=ar_... python agent.py
"""

from __future__ import annotations

import os
import uuid

import grpc
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc

TIMEOUT_S = 60
STEPS = ("Plan a week of meals.", "Make a shopping list of it.", "Sort it by aisle.")


def main() -> None:
    """Take every turn under one session, then give feedback on the session."""
    metadata = [("authorization", f"Bearer {os.environ['ROUTER_KEY']}")]
    session_id, messages = uuid.uuid4().hex, list[chat_pb2.Message]()
    with grpc.insecure_channel(os.environ.get("ROUTER", "127.0.0.1:8480")) as channel:
        router = router_pb2_grpc.RouterServiceStub(channel)
        routing = router_pb2.RoutingOptions(session_id=session_id)
        for step in STEPS:
            messages.append(chat_pb2.Message(role=chat_pb2.ROLE_USER, text=step))
            chat = chat_pb2.ChatRequest(messages=messages)
            request = router_pb2.CompleteRequest(chat=chat, routing=routing)
            answer = router.Complete(request, metadata=metadata, timeout=TIMEOUT_S).answer
            messages.append(
                chat_pb2.Message(
                    role=chat_pb2.ROLE_ASSISTANT, text=answer.text, opaque=answer.opaque
                )
            )

        said = router_pb2.FeedbackRequest(session_id=session_id, accepted=is_solved(messages))
        credited = router.Feedback(said, metadata=metadata, timeout=TIMEOUT_S)
        print(f"{credited.decisions} decisions share the credit")


def is_solved(messages: list[chat_pb2.Message]) -> bool:
    """Stands for your own check of the result: tests that pass, a user who buys."""
    return bool(messages[-1].text)


if __name__ == "__main__":
    main()
