"""What a provider refuses is told as whose fault it is, in all dialects, whole and streamed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from adaptive_router.v1 import router_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.contract.dialects import DIALECTS, Dialect
from tests.e2e.conftest import Router, chat
from tests.e2e.details import detail
from tests.e2e.refusals import KEY_TEXT, OF_THE_ACCOUNT, OF_THE_REQUEST, SECRET, replied
from tests.e2e.wire import Asked, Reply, Wire, events, on_uvloop, routed, whole

Code = grpc.StatusCode


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


async def asked(router: Router, text: str, arm: str, *, live: bool) -> tuple[str, Any]:
    """Return the answer's text and its receipt. Raises grpc.aio.AioRpcError."""
    routing = router_pb2.RoutingOptions(arm=arm)
    if not live:
        request = router_pb2.CompleteRequest(chat=chat(text), routing=routing)
        answer = await router.stub.Complete(request, metadata=router.metadata)
        return answer.answer.text, answer.receipt
    request = router_pb2.StreamCompleteRequest(chat=chat(text), routing=routing)
    call = router.stub.StreamComplete(request, metadata=router.metadata)
    *deltas, last = [item async for item in call]
    return "".join(item.text_delta for item in deltas), last.done.receipt


async def refused(router: Router, text: str, arm: str, *, live: bool) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asked(router, text, arm, live=live)
    assert SECRET not in str(caught.value)
    assert KEY_TEXT not in str(caught.value)
    return caught.value


def has_retry_info(error: grpc.aio.AioRpcError) -> bool:
    status = rpc_status.from_call(error)
    assert status is not None
    return any(d.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for d in status.details)


def named(error: grpc.aio.AioRpcError) -> tuple[str, dict[str, str]]:
    info = detail(error, error_details_pb2.ErrorInfo())
    return info.reason, dict(info.metadata)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="router.serving"):
        yield caplog


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_a_fault_of_the_request_is_the_callers_and_blames_nobody(
    spoken: Dialect, tmp_path: Path, lines: pytest.LogCaptureFixture
) -> None:
    wire = Wire(lambda asked: answer_of(spoken, asked), spoken.name)
    async with routed(tmp_path, {"only": [wire]}) as router:
        for live in (False, True):
            for text, (reason, by_dialect) in OF_THE_REQUEST.items():
                told = by_dialect[spoken.name]
                lines.clear()
                for _ in range(4):  # more than open a circuit
                    error = await refused(router, text, "only", live=live)
                found, metadata = named(error)
                assert (error.code(), found) == (Code.INVALID_ARGUMENT, reason), text
                assert not has_retry_info(error)
                assert metadata.get("provider_code", "") == told.code, text
                assert metadata.get("provider_parameter", "") == told.parameter, text
                record = await router.decision(metadata["decision_id"])
                (attempt,) = record.receipt.attempts
                assert attempt.cost_usd == 0
                messages = [r.getMessage() for r in lines.records]
                said = [m for m in messages if "only0" in m and f"status {told.status}" in m]
                assert len(said) == 4, messages
                assert not any(r.levelno >= logging.WARNING for r in lines.records)
            assert (await asked(router, "fine", "only", live=live))[0] == "Forty-two."
    assert SECRET not in lines.text


def answer_of(spoken: Dialect, asked: Asked) -> Reply:
    sent = str(asked.body)
    for text, (_, by_dialect) in (OF_THE_REQUEST | OF_THE_ACCOUNT).items():
        if f": '{text}'" in sent:
            return replied(by_dialect[spoken.name])
    return good(spoken, asked)


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_a_fault_of_the_account_is_the_operators_and_is_warned_of_once(
    spoken: Dialect, tmp_path: Path, lines: pytest.LogCaptureFixture
) -> None:
    """The deployment is held back, and callers hear the same while it is."""
    arms = {
        f"{text}{live:d}": [Wire(lambda asked: answer_of(spoken, asked), spoken.name)]
        for text in OF_THE_ACCOUNT
        for live in (False, True)
    }
    async with routed(tmp_path, arms) as router:
        for live in (False, True):
            for text, (why, by_dialect) in OF_THE_ACCOUNT.items():
                arm, told = f"{text}{live:d}", by_dialect[spoken.name]
                for _ in range(4):
                    error = await refused(router, text, arm, live=live)
                    found, metadata = named(error)
                    assert (error.code(), found) == (
                        Code.FAILED_PRECONDITION,
                        "PROVIDER_ACCOUNT_FAULT",
                    )
                    assert not has_retry_info(error)
                    assert metadata["why"] == why
                    assert metadata.get("provider_code", "") == told.code
                    record = await router.decision(metadata["decision_id"])
                    assert sum(a.cost_usd for a in record.receipt.attempts) == 0
                warnings = [
                    r.getMessage()
                    for r in lines.records
                    if r.levelno == logging.WARNING and f"{arm}0" in r.getMessage()
                ]
                assert len(warnings) == 1
                assert why in warnings[0]
                assert told.code in warnings[0]
                assert len(arms[arm][0].asked) == 1  # held back from the first refusal on
    assert KEY_TEXT not in lines.text


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_another_deployment_serves_what_one_refuses(spoken: Dialect, tmp_path: Path) -> None:
    """Whatever the fault: a larger window, another filter, another account."""
    first = Wire(lambda asked: answer_of(spoken, asked), spoken.name)
    second = Wire(lambda asked: good(spoken, asked), spoken.name)
    async with routed(tmp_path, {"only": [first, second]}) as router:
        for live in (False, True):
            for text in (*OF_THE_REQUEST, "key"):
                said, receipt = await asked(router, text, "only", live=live)
                assert said == "Forty-two."
                assert receipt.attempts[-1].deployment == "only1"
    assert len(second.asked) == 2 * (1 + len(OF_THE_REQUEST))


def good(spoken: Dialect, asked: Asked) -> Reply:
    finish = spoken.finishes["stop"]
    if asked.streams:
        return events(*spoken.pieces(["Forty", "-two."], None, finish), done=spoken.end_mark != b"")
    return whole(spoken.whole("Forty-two.", None, finish))
