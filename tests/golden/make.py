"""Write anew what later versions must be able to read, as this version stores it.

Usage: .venv/bin/python -m tests.golden.make

Only for a change that is meant to end the reading of what was stored before.
"""

from __future__ import annotations

import contextlib
import json
import lzma
import shutil
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import grpc
import msgspec
import redis
from adaptive_router.v1 import admin_pb2, router_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from tests.golden.site import Served, Site, site
from tests.golden.traffic import OPERATOR, PROBES, Key, metadata, request, sent

DATA = Path(__file__).parent / "data"
STORE, TOLD, ARCHIVE = DATA / "store.msgpack.xz", DATA / "told.json", DATA / "archive"
TENANTS = ("acme", "odd", "sure")
SHOWN = 8
"""Decisions of each tenant whose answers are kept beside the store."""


def main() -> None:
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    with tempfile.TemporaryDirectory() as folder, site(Path(folder), learns=True) as made:
        with sent(made) as found:
            dump(made.store)
            made.run("log", "export", "--out", ARCHIVE)
        decisions = [*found.decisions[: SHOWN * len(TENANTS)], found.waiting]
    with tempfile.TemporaryDirectory() as folder, restored(Path(folder)) as kept:
        keys = new_keys(kept)
        with kept.serving() as served:
            told = {
                "waiting": found.waiting,
                "decisions": {name: shown(served, keys, name) for name in decisions},
                "policies": policies(served),
                "probes": probes(served, keys),
            }
    TOLD.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")


def dump(store: redis.Redis) -> None:
    """Every key, of the snapshots the newest alone."""
    latest = store.get("ar:latest").decode()
    old = [
        field
        for field in store.hkeys("ar:snapshots")
        if not field.startswith(f"{latest}:".encode())
    ]
    if old:
        store.hdel("ar:snapshots", *old)
    store.config_set("rdbcompression", "no")
    entries = {key: store.dump(key) for key in sorted(store.scan_iter("*", count=1_000))}
    STORE.write_bytes(lzma.compress(msgspec.msgpack.encode(entries), preset=9))


def restored(folder: Path) -> AbstractContextManager[Site]:
    """A site on what was dumped; nothing there expires."""
    entries = lzma.decompress(STORE.read_bytes())
    stored = msgspec.msgpack.decode(entries, type=dict[bytes, bytes])
    return site(folder, learns=False, stored=stored)


def new_keys(site: Site) -> dict[str, Key]:
    return {name: metadata(site.run("tenant", "rotate", name)) for name in TENANTS}


def shown(served: Served, keys: dict[str, Key], decision_id: str) -> dict[str, Any]:
    """The decision, as the tenant that made it is told of it."""
    asked = router_pb2.GetDecisionRequest(decision_id=decision_id)
    for tenant, key in keys.items():
        with contextlib.suppress(grpc.RpcError):  # it is another tenant's
            return {"tenant": tenant, **plain(served.router.GetDecision(asked, metadata=key))}
    raise AssertionError(decision_id)


def policies(served: Served) -> dict[str, Any]:
    asked = admin_pb2.ListPoliciesRequest()
    return plain(served.admin.ListPolicies(asked, metadata=OPERATOR))


def probes(served: Served, keys: dict[str, Key]) -> dict[str, Any]:
    """Return what each plan is expected to be worth, by tenant and prompt."""
    return {
        f"{tenant}: {text}": _expected(served, keys[tenant], text)
        for tenant in ("acme", "odd")
        for text in PROBES
    }


def _expected(served: Served, key: Key, text: str) -> dict[str, Any]:
    done = served.router.Complete(request(text, no_cache=True), metadata=key)
    asked = router_pb2.GetDecisionRequest(decision_id=done.receipt.decision_id)
    told = served.router.GetDecision(asked, metadata=key)
    plans = {plan.plan: plain(plan) for plan in told.plans}
    return {"version": told.receipt.policy_version, "plans": plans}


def plain(message: Message) -> dict[str, Any]:
    """Every field, those at their defaults as well."""
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


if __name__ == "__main__":
    main()
