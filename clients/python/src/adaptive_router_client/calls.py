"""The calls of the contract: their messages, and which of them may be sent twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message

from adaptive_router_client.convert import decode, encode
from adaptive_router_client.failures import Failure
from adaptive_router_client.results import (
    Completion,
    Decided,
    Decision,
    FeedbackRecorded,
    OutcomeRecorded,
)
from adaptive_router_client.stubs import router_pb2
from adaptive_router_client.values import Prompt, Routing, chat_of

Result = TypeVar("Result")
SERVICE = router_pb2.DESCRIPTOR.services_by_name["RouterService"]


class OnRecord(Protocol):
    """Anything that has a decision id: a completion, a receipt, a decision under way."""

    @property
    def decision_id(self) -> str: ...


def id_of(about: str | OnRecord) -> str:
    return about if isinstance(about, str) else about.decision_id


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the service as gRPC wants it."""

    path: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def method(name: str, reply: type[Message]) -> Method:
    return Method(f"/{SERVICE.full_name}/{name}", _bytes_of, reply.FromString)


def _bytes_of(message: Message) -> bytes:
    return message.SerializeToString()


COMPLETE = method("Complete", router_pb2.CompleteResponse)
STREAM = method("StreamComplete", router_pb2.StreamCompleteResponse)
DECIDE = method("Decide", router_pb2.DecideResponse)
REPORT = method("ReportOutcome", router_pb2.ReportOutcomeResponse)
FEEDBACK = method("Feedback", router_pb2.FeedbackResponse)
DECISION = method("GetDecision", router_pb2.GetDecisionResponse)


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """One call, ready to be sent. repeatable: sent twice it is done, and paid, once."""

    method: Method
    request: Message
    kind: type[Result]
    repeatable: bool
    key: str = ""

    def result(self, reply: Message) -> Result:
        return decode(self.kind, reply)


def complete(prompt: Prompt, routing: Routing, new_key: Callable[[], str]) -> Call[Completion]:
    routing = keyed(routing, new_key)
    request = router_pb2.CompleteRequest()
    _fill(request, prompt, routing)
    key = routing.idempotency_key or ""
    return Call(COMPLETE, request, Completion, repeatable=bool(key), key=key)


def stream(prompt: Prompt, routing: Routing, new_key: Callable[[], str]) -> Call[Completion]:
    """Returns the call whose deltas make up a completion."""
    routing = keyed(routing, new_key)
    request = router_pb2.StreamCompleteRequest()
    _fill(request, prompt, routing)
    key = routing.idempotency_key or ""
    return Call(STREAM, request, Completion, repeatable=bool(key), key=key)


def decide(prompt: Prompt, routing: Routing) -> Call[Decided]:
    """Returns a call that is made at most once: each decision is a new one, and is charged."""
    request = router_pb2.DecideRequest()
    _fill(request, prompt, replace(routing, idempotency_key=None))
    return Call(DECIDE, request, Decided, repeatable=False)


def keyed(routing: Routing, new_key: Callable[[], str]) -> Routing:
    """Returns the routing with a key of its own where the caller left that to the client."""
    if routing.idempotency_key is not None:
        return routing
    return replace(routing, idempotency_key=new_key())


def _fill(request: Any, prompt: Prompt, routing: Routing) -> None:
    encode(chat_of(prompt), request.chat)
    encode(routing, request.routing)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of calling a model. cached, written and reasoning tokens are parts of the others.

    failure: None for a success.
    """

    latency_ms: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    failure: Failure | None = None
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


def report(decision_id: str, outcome: Outcome) -> Call[OutcomeRecorded]:
    request = router_pb2.ReportOutcomeRequest(decision_id=decision_id)
    encode(outcome, request)
    return Call(REPORT, request, OutcomeRecorded, repeatable=True)


@dataclass(frozen=True, slots=True)
class Said:
    """Feedback on a decision, or on a whole session."""

    decision_id: str = ""
    quality: float | None = None
    accepted: bool | None = None
    correction: bool = False
    session_id: str = ""


def feedback(said: Said) -> Call[FeedbackRecorded]:
    request = router_pb2.FeedbackRequest()
    encode(said, request)
    return Call(FEEDBACK, request, FeedbackRecorded, repeatable=True)


def decision(decision_id: str) -> Call[Decision]:
    request = router_pb2.GetDecisionRequest(decision_id=decision_id)
    return Call(DECISION, request, Decision, repeatable=True)
