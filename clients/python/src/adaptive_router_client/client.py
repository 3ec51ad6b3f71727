"""The client for threads."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from adaptive_router_client import calls
from adaptive_router_client.assemble import Assembler, Delta
from adaptive_router_client.calls import Call, Method, OnRecord, Outcome, Said
from adaptive_router_client.channels import Settings, known
from adaptive_router_client.deciding import REPORT_S, DecisionUnderWay, silence
from adaptive_router_client.errors import RouterError
from adaptive_router_client.results import (
    Completion,
    Decision,
    FeedbackRecorded,
    OutcomeRecorded,
    TextDelta,
)
from adaptive_router_client.retry import Patience, Retry
from adaptive_router_client.values import UNROUTED, Prompt, Routing

Result = TypeVar("Result")
log = logging.getLogger("adaptive_router_client")


class Client:
    """Calls the router; one for the whole process, shared by its threads.

    Every call has a deadline, is sent again where that is safe, and ends with a result or an error
    of `RouterError`'s tree. The arguments are those of `Settings`.
    """

    def __init__(
        self,
        target: str,
        *,
        key: str = "",
        tls: bool | grpc.ChannelCredentials = False,
        timeout_s: float = 60.0,
        retry: Retry | None = None,
        options: Sequence[tuple[str, Any]] = (),
        more: Callable[[], Iterable[tuple[str, str]]] = tuple,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = Settings(target, key, tls, timeout_s, retry or Retry(), options, more)
        self._sleep = sleep
        self._channel = _opened(self._settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every call under way."""
        self._channel.close()

    def complete(
        self, prompt: Prompt, routing: Routing = UNROUTED, *, timeout_s: float | None = None
    ) -> Completion:
        """Decide, call, judge, escalate where needed, and answer."""
        return self._call(calls.complete(prompt, routing, self._settings.new_key), timeout_s)

    def stream(
        self, prompt: Prompt, routing: Routing = UNROUTED, *, timeout_s: float | None = None
    ) -> Stream:
        """The same, as it comes. Leave the block, or close the stream, to end the call."""
        call = calls.stream(prompt, routing, self._settings.new_key)
        patience = self._settings.patience(timeout_s, repeatable=call.repeatable)
        under_way = _UnderWay()
        return Stream(self._events(call, patience, under_way), under_way)

    @contextmanager
    def decide(
        self, prompt: Prompt, routing: Routing = UNROUTED, *, timeout_s: float | None = None
    ) -> Iterator[DecisionUnderWay]:
        """Let the router choose what the block calls, and report what came of it at its end.

        A report that the router does not take is logged, and leaves `recorded` at None: it does
        not take the answer from the caller.
        """
        decided = self._call(calls.decide(prompt, routing), timeout_s)
        decision = DecisionUnderWay(decided, self._settings.clock)
        try:
            yield decision
        except BaseException as error:
            self._settle(decision, error)
            raise
        silent = decision.is_silent
        self._settle(decision, None)
        if silent:
            raise silence()

    def report_outcome(
        self, about: str | OnRecord, outcome: Outcome, *, timeout_s: float | None = None
    ) -> OutcomeRecorded:
        """Say what came of a decision that was detached from its block."""
        return self._call(calls.report(calls.id_of(about), outcome), timeout_s)

    def feedback(
        self,
        about: str | OnRecord,
        *,
        quality: float | None = None,
        accepted: bool | None = None,
        correction: bool = False,
        timeout_s: float | None = None,
    ) -> FeedbackRecorded:
        """Say how good an answer was: a quality in [0, 1], or accepted or not, or both."""
        said = Said(calls.id_of(about), quality, accepted, correction)
        return self._call(calls.feedback(said), timeout_s)

    def feedback_on_session(
        self,
        session_id: str,
        *,
        quality: float | None = None,
        accepted: bool | None = None,
        correction: bool = False,
        timeout_s: float | None = None,
    ) -> FeedbackRecorded:
        """Say how a whole session ended: its decisions share the credit."""
        said = Said("", quality, accepted, correction, session_id)
        return self._call(calls.feedback(said), timeout_s)

    def decision(self, about: str | OnRecord, *, timeout_s: float | None = None) -> Decision:
        """Returns what was decided, and why."""
        return self._call(calls.decision(calls.id_of(about)), timeout_s)

    def _settle(self, decision: DecisionUnderWay, error: BaseException | None) -> None:
        outcome = decision.end(error)
        if outcome is None:
            return
        try:
            decision.recorded = self.report_outcome(decision, outcome, timeout_s=REPORT_S)
        except RouterError as refused:
            log.warning("the outcome of %s is not reported: %s", decision.decision_id, refused)

    def _call(self, call: Call[Result], timeout_s: float | None) -> Result:
        patience = self._settings.patience(timeout_s, repeatable=call.repeatable)
        while True:
            left_s = patience.begin()
            try:
                reply = self._unary(call.method)(
                    call.request, timeout=left_s, metadata=self._settings.metadata
                )
            except grpc.RpcError as error:
                refused = known(error, call.key)
            else:
                return call.result(reply)
            self._sleep(patience.wait_s(refused))

    def _events(
        self, call: Call[Completion], patience: Patience, under_way: _UnderWay
    ) -> Iterator[Any]:
        """Sent again only as long as nothing of the answer has come."""
        while True:
            left_s, begun = patience.begin(), False
            events = self._streamed(call.method)(
                call.request, timeout=left_s, metadata=self._settings.metadata
            )
            under_way.begin(events)
            try:
                for event in events:
                    begun = True
                    yield event
            except grpc.RpcError as error:
                if begun:
                    raise known(error, call.key) from None
                refused = known(error, call.key)
            else:
                return
            finally:
                events.cancel()  # type: ignore[no-untyped-call]  # in the stub
            self._sleep(patience.wait_s(refused))

    def _unary(self, method: Method) -> grpc.UnaryUnaryMultiCallable[Any, Any]:
        return self._channel.unary_unary(method.path, method.encode, method.decode)

    def _streamed(self, method: Method) -> grpc.UnaryStreamMultiCallable[Any, Any]:
        return self._channel.unary_stream(method.path, method.encode, method.decode)


def _opened(settings: Settings) -> grpc.Channel:
    if settings.credentials is None:
        return grpc.insecure_channel(settings.target, settings.channel_options)
    return grpc.secure_channel(settings.target, settings.credentials, settings.channel_options)


class _UnderWay:
    """The call of a stream, for whoever ends it while another thread reads."""

    def __init__(self) -> None:
        self._call: Any = None
        self._left = False

    def begin(self, call: Any) -> None:
        self._call = call
        if self._left:
            call.cancel()

    def leave(self) -> None:
        self._left = True
        if self._call is not None:
            self._call.cancel()


class Stream:
    """Deltas as they come, then `completion`: the answer as a whole, with its receipt.

    Any thread may close it; one that reads it then gets the error CANCELLED.
    """

    def __init__(self, events: Iterator[Any], under_way: _UnderWay) -> None:
        self._events = events
        self._under_way = under_way
        self._assembler = Assembler()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Delta]:
        for event in self._events:
            delta = self._assembler.read(event)
            if delta is not None:
                yield delta
        _ = self.completion  # a stream that ended without its end has failed

    @property
    def texts(self) -> Iterator[str]:
        """The text alone."""
        return (delta.text for delta in self if isinstance(delta, TextDelta))

    @property
    def completion(self) -> Completion:
        """Raises StreamBroken before the end."""
        return self._assembler.completion

    def close(self) -> None:
        """End the call, and the provider's with it."""
        self._under_way.leave()
        with suppress(ValueError):  # another thread reads, and ends it
            self._events.close()  # type: ignore[attr-defined]  # a generator
