"""Operators and nobody else change who serves, over the wire as from the shell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from adaptive_router.v1 import admin_pb2 as pb
from adaptive_router.v1 import admin_pb2_grpc
from google.rpc import error_details_pb2

from router.app.learner import running_learner
from router.app.server import running_router
from router.config import parse_config
from tests.e2e.conftest import Router
from tests.e2e.details import detail

ENV = {"ROUTER_ADMIN_KEY": "only-operators-know"}
OPERATOR = (("authorization", "Bearer only-operators-know"),)
WAIT_MS = 60_000


@pytest.fixture
def sections() -> str:
    return "challengers: {lin: {name: linucb}}"


@pytest_asyncio.fixture
async def admin(
    tmp_path: Path, config: Callable[..., str], model_dir: Path
) -> AsyncIterator[admin_pb2_grpc.AdminServiceStub]:
    del model_dir
    text = config(tmp_path, {"cheap": 9, "reasoning": 9})
    parsed = parse_config(text + "auth: {admin_key_env: ROUTER_ADMIN_KEY}\n", "test.yaml", ENV)
    async with (
        running_router(parsed, ENV) as running,
        running_learner(parsed, ENV),
        grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel,
    ):
        yield admin_pb2_grpc.AdminServiceStub(channel)


async def test_a_promotion_and_its_rollback(admin: admin_pb2_grpc.AdminServiceStub) -> None:
    at_first = await admin.ListPolicies(pb.ListPoliciesRequest(), metadata=OPERATOR)
    members = [(member.name, member.policy) for member in at_first.members]
    assert members == [("policy", "adaptive"), ("lin", "linucb")]
    assert (at_first.champion, at_first.previous, list(at_first.changes)) == ("policy", "", [])
    asked = pb.PromotePolicyRequest(name="lin", wait_ms=WAIT_MS)
    done = (await admin.PromotePolicy(asked, metadata=OPERATOR)).change
    assert (done.before, done.champion, done.move, done.by) == ("policy", "lin", "promoted", "hand")
    back = pb.RollbackPolicyRequest(wait_ms=WAIT_MS)
    assert (await admin.RollbackPolicy(back, metadata=OPERATOR)).change.champion == "policy"
    again = (await admin.RollbackPolicy(back, metadata=OPERATOR)).change
    assert "nothing was promoted" in again.refused
    known = await admin.ListPolicies(pb.ListPoliciesRequest(), metadata=OPERATOR)
    assert [change.champion for change in known.changes] == ["policy", "policy", "lin"]
    assert known.members[1].gain.events == 0
    assert not known.members[1].gain.HasField("low")


@pytest.mark.parametrize("key", [None, "Bearer ar_test", "Bearer ", "Bearer only-operators-knew"])
async def test_who_is_no_operator_is_not_let_in(
    admin: admin_pb2_grpc.AdminServiceStub, key: str | None
) -> None:
    metadata = () if key is None else (("authorization", key),)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await admin.ListPolicies(pb.ListPoliciesRequest(), metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_what_cannot_be_done_is_said(admin: admin_pb2_grpc.AdminServiceStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await admin.PromotePolicy(pb.PromotePolicyRequest(name="linn"), metadata=OPERATOR)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "did you mean lin" in (caught.value.details() or "")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await admin.RollbackPolicy(pb.RollbackPolicyRequest(wait_ms=60_001), metadata=OPERATOR)
    bad = detail(caught.value, error_details_pb2.BadRequest())
    assert [violation.field for violation in bad.field_violations] == ["wait_ms"]


async def test_without_an_admin_key_there_is_no_such_service(
    router: Router, texts: Iterator[str]
) -> None:
    stub = admin_pb2_grpc.AdminServiceStub(router.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListPolicies(pb.ListPoliciesRequest(), metadata=router.metadata)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert (await router.complete(next(texts))).answer.text
