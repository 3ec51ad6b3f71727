"""Work on a task in several turns, and say at the end whether it was solved.

Usage: ROUTER=127.0.0.1:8480 ROUTER_KEY=ar_... python agent.py
"""

from __future__ import annotations

import asyncio
import os
import uuid

from adaptive_router_client import AsyncClient, Message, Routing, user

STEPS = ("Plan a week of meals.", "Make a shopping list of it.", "Sort it by aisle.")


async def main() -> None:
    """Take every turn under one session, then give feedback on the session."""
    target = os.environ.get("ROUTER", "127.0.0.1:8480")
    session_id, messages = uuid.uuid4().hex, list[Message]()
    async with AsyncClient(target, key=os.environ["ROUTER_KEY"]) as router:
        for step in STEPS:
            messages.append(user(step))
            # An answer out of the cache would be of another session, and learn nothing of this.
            routing = Routing(session_id=session_id, no_cache=True)
            done = await router.complete(messages, routing)
            messages.append(done.message)
        credited = await router.feedback_on_session(session_id, accepted=is_solved(messages))
        print(f"{credited.decisions} decisions share the credit")


def is_solved(messages: list[Message]) -> bool:
    """Stands for your own check of the result: tests that pass, a user who buys."""
    return bool(messages[-1].text)


if __name__ == "__main__":
    asyncio.run(main())
