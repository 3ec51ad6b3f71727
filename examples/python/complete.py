"""Ask the router, stream an answer, and say how good an answer was.

Usage: ROUTER=127.0.0.1:8480 ROUTER_KEY=ar_... python complete.py
"""

from __future__ import annotations

import os

from adaptive_router_client import Client, Routing


def main() -> None:
    """Complete, give feedback, look at the decision, then stream."""
    target = os.environ.get("ROUTER", "127.0.0.1:8480")
    with Client(target, key=os.environ["ROUTER_KEY"]) as router:
        done = router.complete("What is 17 * 23?", Routing(max_cost_usd=0.05, no_cache=True))
        print(f"{done.receipt.arm} for {done.receipt.cost_usd:.6f} USD: {done.text}")

        router.feedback(done, quality=1.0)
        for plan in router.decision(done).plans:
            print(f"  {plan.plan}: probability {plan.probability:.4f}")

        with router.stream("Tell me about rivers.", Routing(no_cache=True)) as stream:
            for text in stream.texts:
                print(text, end="", flush=True)
            done = stream.completion
        print(f"\n{done.receipt.plan}: {done.answer.output_tokens} tokens")


if __name__ == "__main__":
    main()
