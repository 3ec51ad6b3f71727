"""A provider's quotes of a request stay with the provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import grpc
import httpx
import pytest
from adaptive_router.v1 import router_pb2
from google.rpc import error_details_pb2
from starlette.exceptions import HTTPException

from demo.world import Reply
from tests.e2e.conftest import Router, request, until
from tests.e2e.details import detail

RouteRequest: TypeAlias = Callable[[Router, router_pb2.CompleteRequest], Awaitable[None]]
PROVIDER_KEY = "sk-provider-secret"
SECRET = "zeppelins"


@pytest.fixture
def images(tmp_path: Path) -> str:
    """Every deployment calls its provider with a key."""
    path = tmp_path / "key"
    path.write_text(PROVIDER_KEY)
    return f", api_key_file: '{path}'"


def quoting(prompt: str) -> Reply:
    raise HTTPException(500, f"Bearer {PROVIDER_KEY} asked: {prompt}")


async def whole(router: Router, asked: router_pb2.CompleteRequest) -> None:
    await router.stub.Complete(asked, metadata=router.metadata)


async def streamed(router: Router, asked: router_pb2.CompleteRequest) -> None:
    async for _ in router.stub.StreamComplete(asked, metadata=router.metadata):
        pass


@pytest.mark.parametrize("call", [whole, streamed])
async def test_a_body_that_quotes_key_and_prompt_reaches_nobody(
    router: Router, call: RouteRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    for upstream in router.upstreams.values():
        upstream.find = quoting
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(router, request(f"A question about {SECRET}", no_cache=True))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    info = detail(caught.value, error_details_pb2.ErrorInfo())
    decision = await router.decision(info.metadata["decision_id"])
    assert decision.receipt.attempts
    async with httpx.AsyncClient() as client:
        metrics = (await client.get(f"http://127.0.0.1:{router.metrics_port}/metrics")).text
    assert "adaptive_router_attempts" in metrics
    written = ""

    async def is_told() -> bool:
        nonlocal written
        written += "".join(capfd.readouterr())
        return "ALL_ATTEMPTS_FAILED" in written

    await until(is_told)
    error = f"{caught.value.details()} {caught.value.trailing_metadata()}"
    for text in (error, str(decision), metrics, written):
        for secret in (PROVIDER_KEY, SECRET, "ar_test"):
            assert secret not in text
