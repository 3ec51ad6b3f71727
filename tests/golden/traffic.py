"""Requests that leave one of everything in the store."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import redis
from adaptive_router.v1 import admin_pb2, chat_pb2, router_pb2, router_pb2_grpc

from tests.golden.site import Site, until

Stub: TypeAlias = router_pb2_grpc.RouterServiceStub
Key: TypeAlias = tuple[tuple[str, str], ...]

OPERATOR: Key = (("authorization", "Bearer only-operators-know"),)
LIMITS = ("--requests-per-minute", 5_000, "--tokens-per-minute", 9_000_000, "--daily-usd", 50)
CACHED = "What is six times seven?"
ONCE = "Which number is the answer to everything?"
RETOLD = "Tell me about the weather in Oslo."
PROBES = (
    "Prove that the square root of two is irrational.",
    "Say hello.",
    "Sort a list in Python.",
)
REQUESTS = 90
WAIT_MS = 60_000


@dataclass(frozen=True, slots=True)
class Sent:
    """Ids of decisions. waiting: of one whose outcome nobody has reported."""

    decisions: tuple[str, ...]
    waiting: str


def metadata(key: str) -> Key:
    return (("authorization", f"Bearer {key.strip()}"),)


def request(text: str, **routing: Any) -> router_pb2.CompleteRequest:
    return router_pb2.CompleteRequest(chat=chat(text), routing=router_pb2.RoutingOptions(**routing))


def chat(text: str) -> chat_pb2.ChatRequest:
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, text=text)
    return chat_pb2.ChatRequest(messages=[message])


@contextmanager
def sent(site: Site) -> Iterator[Sent]:
    """The router still serves, its learner has learned everything."""
    acme = metadata(site.run("tenant", "create", "acme", *LIMITS))
    odd, sure = (metadata(site.run("tenant", "create", name)) for name in ("odd", "sure"))
    site.run("tenant", "create", "gone", "--arm", "cheap", "--observe", "cheap")
    site.run("tenant", "revoke", "gone")
    with site.serving() as served:
        stub = served.router
        served.admin.PromotePolicy(
            admin_pb2.PromotePolicyRequest(name="lin", wait_ms=WAIT_MS), metadata=OPERATOR
        )
        served.admin.RollbackPolicy(
            admin_pb2.RollbackPolicyRequest(wait_ms=WAIT_MS), metadata=OPERATOR
        )
        decisions = _ask(stub, (acme, odd, sure))
        waiting = _call(stub, acme)
        until(lambda: _is_audited(site.store) and is_learned(site.store))
        yield Sent(tuple(decisions), waiting)


def is_learned(store: redis.Redis) -> bool:
    """Return whether a snapshot holds every event."""
    (last, _) = store.xrevrange("ar:events", count=1)[0]
    latest = store.get("ar:latest")
    return bool(latest) and store.hget("ar:snapshots", f"{latest.decode()}:position") == last


def _is_audited(store: redis.Redis) -> bool:
    return any(fields[b"kind"] == b"audited" for _, fields in store.xrange("ar:events"))


def _ask(stub: Stub, keys: tuple[Key, ...]) -> list[str]:
    rng, ids = random.Random(7), list[str]()
    for n in range(REQUESTS):
        key = keys[n % 3]
        text = f"Compute {rng.randrange(100)} plus {rng.randrange(100_000)}, part {n}."
        arm = {4: "cheap", 9: "reasoning"}.get(n, "")
        done = stub.Complete(request(text, arm=arm, no_cache=n % 8 != 0), metadata=key)
        ids.append(done.receipt.decision_id)
        if n % 4:
            _feedback(stub, key, ids[-1], quality=rng.choice((0.0, 0.5, 1.0)))
    _feedback(stub, keys[1], ids[1], quality=0.25, correction=True)
    return ids


def _feedback(stub: Stub, key: Key, decision_id: str, **said: Any) -> None:
    stub.Feedback(router_pb2.FeedbackRequest(decision_id=decision_id, **said), metadata=key)


def _call(stub: Stub, key: Key) -> str:
    """Every other way to call; the id of a `Decide` whose outcome is not reported."""
    for text, options in (
        (CACHED, {}),
        (CACHED, {}),
        (ONCE, {"idempotency_key": "once", "no_cache": True, "arm": "cheap"}),
        (RETOLD, {"session_id": "s", "no_cache": True}),
        (RETOLD.lower(), {"session_id": "s", "no_cache": True}),
    ):
        stub.Complete(request(text, **options), metadata=key)
    asked = router_pb2.StreamCompleteRequest(chat=chat("Count to three."))
    assert list(stub.StreamComplete(asked, metadata=key))[-1].done.receipt.arm
    reported, waiting = (
        stub.Decide(router_pb2.DecideRequest(chat=chat(text)), metadata=key).receipt.decision_id
        for text in ("Decide and tell.", "Decide and wait.")
    )
    stub.ReportOutcome(outcome(reported), metadata=key)
    return str(waiting)


def outcome(decision_id: str) -> router_pb2.ReportOutcomeRequest:
    return router_pb2.ReportOutcomeRequest(
        decision_id=decision_id, latency_ms=120.0, input_tokens=100, output_tokens=50
    )
