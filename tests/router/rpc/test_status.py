"""Each error of the tree has one status and the details that go with it; others tell nothing."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import grpc
import pytest
import structlog

from router.domain import errors as e
from router.observe.logs import configure_logs
from router.rpc.status import CODES, code_of
from tests.router.rpc.wire import GOOD, METADATA, Wire, details, refused, until

Code = grpc.StatusCode
SECRET = "my secret prompt"

RAISED: list[tuple[e.RouterError, Code, set[str]]] = [
    (e.DecisionNotFound("x"), Code.NOT_FOUND, set()),
    (e.FeedbackConflict("x"), Code.ALREADY_EXISTS, set()),
    (e.IdempotencyConflict("x"), Code.ALREADY_EXISTS, set()),
    (e.OutcomeConflict("x"), Code.FAILED_PRECONDITION, set()),
    (e.FeedbackTooLate("x"), Code.FAILED_PRECONDITION, set()),
    (e.NoEligiblePlan("x"), Code.FAILED_PRECONDITION, set()),
    (e.DeadlineTooShort("x"), Code.DEADLINE_EXCEEDED, set()),
    (e.StorageCorrupt("x"), Code.INTERNAL, set()),
    (e.ProviderRateLimited("x", retry_after_ms=5), Code.UNAVAILABLE, set()),
    (e.IdempotencyRunning("x"), Code.ABORTED, {"RetryInfo"}),
    (e.Overloaded("x"), Code.RESOURCE_EXHAUSTED, {"RetryInfo"}),
    (e.StorageUnavailable("x"), Code.UNAVAILABLE, {"RetryInfo"}),
    (e.AllAttemptsFailed("x", metadata={"decision_id": "d9"}), Code.UNAVAILABLE, {"RetryInfo"}),
    (e.RequestRefused("x", metadata={"provider_code": "c"}), Code.INVALID_ARGUMENT, set()),
    (e.ContextTooLong("x", metadata={"decision_id": "d9"}), Code.INVALID_ARGUMENT, set()),
    (e.ContentRefused("x", metadata={"decision_id": "d9"}), Code.INVALID_ARGUMENT, set()),
    (
        e.AccountFault("x", metadata={"why": "provider_unauthorized"}),
        Code.FAILED_PRECONDITION,
        set(),
    ),
    (
        e.QuotaExceeded("x", quota="daily_usd", subject="tenant:test", retry_after_ms=1_500),
        Code.RESOURCE_EXHAUSTED,
        {"RetryInfo", "QuotaFailure"},
    ),
    (
        e.InvalidRequest(e.FieldViolation("routing.arm", "name one")),
        Code.INVALID_ARGUMENT,
        {"BadRequest"},
    ),
]


@pytest.mark.parametrize("method", GOOD)
async def test_each_error_has_its_status_and_details(wire: Wire, method: str) -> None:
    for error, code, more in RAISED:
        wire.service.error = error
        caught = await refused(wire.send(method, GOOD[method]))
        assert (caught.code(), caught.details()) == (code, error.message)
        found = details(caught)
        assert set(found) == {"ErrorInfo", *more}
        info = found["ErrorInfo"]
        assert (info.domain, info.reason) == ("adaptive-router", error.reason)
        assert dict(info.metadata) == error.metadata
    wire.service.error = None
    assert await wire.send(method, GOOD[method])


async def test_when_to_try_again_and_which_quota(wire: Wire) -> None:
    wire.service.error = RAISED[-2][0]
    found = details(await refused(wire.send("Complete", GOOD["Complete"])))
    delay = found["RetryInfo"].retry_delay
    assert (delay.seconds, delay.nanos) == (1, 500_000_000)
    (violation,) = found["QuotaFailure"].violations
    assert violation.subject == "tenant:test"
    assert found["ErrorInfo"].metadata["quota"] == "daily_usd"


def _tree(kind: type[e.RouterError]) -> Iterator[type[e.RouterError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def test_every_error_a_caller_can_meet_is_in_the_table() -> None:
    """An error outside the table is INTERNAL: it tells of the server, not of the request."""
    ours = {k for k in _tree(e.RouterError) if k.__module__ == e.__name__}
    internal = {k for k in ours if CODES[next(m for m in k.__mro__ if m in CODES)] is Code.INTERNAL}
    assert internal == {
        e.RouterError,
        e.RetryableError,
        e.StorageCorrupt,
        e.SnapshotRefused,
        e.VerifierFailed,
        e.VerifierMalformed,
        e.VerifierOff,
        e.ModelUnavailable,
        e.ModelCorrupt,
        e.ServerMissing,
        e.StoreMissing,
        e.StoreTaken,
        e.StoreUnwritable,
        e.PortTaken,
        e.ConfigInvalid,
    }


def test_a_new_error_has_the_status_of_its_kind() -> None:
    class Odd(e.ProviderTimeout):
        pass

    assert code_of(Odd("x")) is Code.UNAVAILABLE


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Capture what the process would write to its log, the libraries' lines included."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in ("httpx", "httpcore")}
    stream = io.StringIO()
    configure_logs(stream, level=logging.DEBUG)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)


def lines(stream: io.StringIO, event: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in found if line["event"] == event]


@pytest.mark.parametrize("method", GOOD)
async def test_no_exceptions_text_leaks(
    log: io.StringIO, wire: Wire, capfd: pytest.CaptureFixture[str], method: str
) -> None:
    wire.service.error = RuntimeError(SECRET)
    caught = await refused(wire.send(method, GOOD[method]))
    assert caught.code() is Code.INTERNAL
    await until(lambda: wire.observed)
    (line,) = lines(log, "internal")
    assert line["error"] == "RuntimeError"
    assert caught.details() == f"internal error {line['error_id']}"
    trailing = repr(caught.trailing_metadata())
    for text in (caught.details(), trailing, log.getvalue(), "".join(capfd.readouterr())):
        assert SECRET not in text
    assert wire.observed == [(method, "INTERNAL")]
    wire.service.error = None
    assert await wire.send(method, GOOD[method])


TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("req-7/a.b:c", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("two words", False),
        ("", False),
        ('"}', False),
    ],
)
async def test_the_id_of_a_request_goes_back_and_into_the_log(
    log: io.StringIO, wire: Wire, sent: str, *, kept: bool
) -> None:
    metadata = (*METADATA, ("x-request-id", sent))
    for method in ("Complete", "Decide"):
        call = getattr(wire.stub, method)(GOOD[method], metadata=metadata)
        await call
        told = dict(await call.trailing_metadata())["x-request-id"]
        assert (told == sent) is kept
        assert re.fullmatch(r"[0-9a-f]{32}", told) or kept
    stream = wire.stub.StreamComplete(GOOD["StreamComplete"], metadata=metadata)
    assert [item async for item in stream]
    wire.service.error = e.QuotaExceeded("x", quota="q", subject="s", retry_after_ms=1)
    failing = wire.stub.Complete(GOOD["Complete"], metadata=metadata)
    failure = await refused(failing)
    assert "RetryInfo" in details(failure)
    ids = [dict(await each.trailing_metadata())["x-request-id"] for each in (stream, failing)]
    await until(lambda: len(lines(log, "call")) == 4)
    assert [line["request_id"] for line in lines(log, "call")][2:] == ids


async def test_the_line_of_a_call_tells_its_decision_and_its_trace(
    log: io.StringIO, wire: Wire
) -> None:
    given = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"),)
    await wire.stub.Complete(GOOD["Complete"], metadata=(*METADATA, *given))
    await wire.stub.Complete(GOOD["Complete"], metadata=(*METADATA, ("traceparent", "00-odd")))
    await wire.send("Feedback", GOOD["Feedback"])
    await until(lambda: len(lines(log, "call")) == 3)
    traced, odd, feedback = lines(log, "call")
    assert (traced["trace_id"], odd["trace_id"]) == (TRACE, "")
    told = {
        "plan": "ladder",
        "arm": "reasoning",
        "deployment": "big",
        "cache": "miss",
        "attempts": 2,
        "input_tokens": 20,
        "output_tokens": 41,
        "cost_usd": 0.75,
        "session": "",
    }
    assert told.items() <= traced.items()
    assert not told.keys() & feedback.keys()


async def test_each_call_has_one_line_without_its_prompt_or_key(
    log: io.StringIO, wire: Wire
) -> None:
    request = GOOD["Complete"].__class__()
    request.CopyFrom(GOOD["Complete"])
    request.chat.messages[0].text = SECRET
    await wire.send("Complete", request)
    await wire.send("StreamComplete", GOOD["StreamComplete"])
    await wire.send("Feedback", GOOD["Feedback"])
    wire.service.error = e.AllAttemptsFailed("x", metadata={"decision_id": "d9"})
    await refused(wire.send("Decide", GOOD["Decide"]))
    await refused(wire.stub.Complete(request))
    await until(lambda: len(lines(log, "call")) == 5)
    told = [(c["method"], c["code"], c["tenant"], c["decision_id"]) for c in lines(log, "call")]
    assert told == [
        ("Complete", "OK", "test", "d1"),
        ("StreamComplete", "OK", "test", "d1"),
        ("Feedback", "OK", "test", "d1"),
        ("Decide", "ALL_ATTEMPTS_FAILED", "test", "d9"),
        ("Complete", "UNAUTHENTICATED", "", ""),
    ]
    assert all(call["latency_ms"] >= 0 for call in lines(log, "call"))
    assert SECRET not in log.getvalue()
    assert METADATA[0][1] not in log.getvalue()
    assert [code for _, code in wire.observed] == [code for _, code, _, _ in told]
