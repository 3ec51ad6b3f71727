"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio

from adaptive_router_client import calls
from adaptive_router_client.assemble import Assembler, Delta
from adaptive_router_client.calls import Call, OnRecord, Outcome, Said
from adaptive_router_client.channels import Settings, known
from adaptive_router_client.client import log
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


class AsyncClient:
    """Does what `Client` does, on the loop that uses it first; one for the whole loop.

    It may be made where no loop runs yet, and serves the next loop after one that was closed.
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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = Settings(target, key, tls, timeout_s, retry or Retry(), options, more)
        self._sleep = sleep
        self._opened: tuple[asyncio.AbstractEventLoop, grpc.aio.Channel] | None = None
        self._reports: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let reports that are on their way arrive, and end every other call."""
        while self._reports:
            await asyncio.wait(self._reports)
        await self._channel.close(None)

    async def complete(
        self, prompt: Prompt, routing: Routing = UNROUTED, *, timeout_s: float | None = None
    ) -> Completion:
        """Decide, call, judge, escalate where needed, and answer."""
        return await self._call(calls.complete(prompt, routing, self._settings.new_key), timeout_s)

    def stream(
        self, prompt: Prompt, routing: Routing = UNROUTED, *, timeout_s: float | None = None
    ) -> AsyncStream:
        """The same, as it comes. Leave the block, or close the stream, to end the call."""
        call = calls.stream(prompt, routing, self._settings.new_key)
        patience = self._settings.patience(timeout_s, repeatable=call.repeatable)
        return AsyncStream(self._events(call, patience))

    @asynccontextmanager
    async def decide(
        self, prompt: Prompt, routing: Routing = UNROUTED, *, timeout_s: float | None = None
    ) -> AsyncIterator[DecisionUnderWay]:
        """Let the router choose what the block calls, and report what came of it at its end.

        A report that the router does not take is logged, and leaves `recorded` at None. The report
        of a block that was cancelled goes out as well; `close` waits for it.
        """
        decided = await self._call(calls.decide(prompt, routing), timeout_s)
        decision = DecisionUnderWay(decided, self._settings.clock)
        try:
            yield decision
        except BaseException as error:
            await self._settle(decision, error)
            raise
        silent = decision.is_silent
        await self._settle(decision, None)
        if silent:
            raise silence()

    async def report_outcome(
        self, about: str | OnRecord, outcome: Outcome, *, timeout_s: float | None = None
    ) -> OutcomeRecorded:
        """Say what came of a decision that was detached from its block."""
        return await self._call(calls.report(calls.id_of(about), outcome), timeout_s)

    async def feedback(
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
        return await self._call(calls.feedback(said), timeout_s)

    async def feedback_on_session(
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
        return await self._call(calls.feedback(said), timeout_s)

    async def decision(self, about: str | OnRecord, *, timeout_s: float | None = None) -> Decision:
        """Returns what was decided, and why."""
        return await self._call(calls.decision(calls.id_of(about)), timeout_s)

    @property
    def _channel(self) -> grpc.aio.Channel:
        loop = asyncio.get_running_loop()
        if self._opened is None or self._opened[0].is_closed():
            self._opened = loop, _channel_to(self._settings)
        if self._opened[0] is not loop:
            raise RuntimeError("another loop uses this client: make one for each loop")
        return self._opened[1]

    async def _settle(self, decision: DecisionUnderWay, error: BaseException | None) -> None:
        outcome = decision.end(error)
        if outcome is None:
            return
        report = asyncio.create_task(self._report(decision, outcome))
        self._reports.add(report)
        report.add_done_callback(self._reports.discard)
        await asyncio.shield(report)

    async def _report(self, decision: DecisionUnderWay, outcome: Outcome) -> None:
        try:
            decision.recorded = await self.report_outcome(decision, outcome, timeout_s=REPORT_S)
        except RouterError as refused:
            log.warning("the outcome of %s is not reported: %s", decision.decision_id, refused)

    async def _call(self, call: Call[Result], timeout_s: float | None) -> Result:
        patience = self._settings.patience(timeout_s, repeatable=call.repeatable)
        method = call.method
        send = self._channel.unary_unary(method.path, method.encode, method.decode)
        while True:
            left_s = patience.begin()
            try:
                reply = await send(call.request, timeout=left_s, metadata=self._settings.metadata)
            except grpc.RpcError as error:
                refused = known(error, call.key)
            else:
                return call.result(reply)
            await self._sleep(patience.wait_s(refused))

    async def _events(self, call: Call[Completion], patience: Patience) -> AsyncGenerator[Any]:
        """Sent again only as long as nothing of the answer has come."""
        method = call.method
        send = self._channel.unary_stream(method.path, method.encode, method.decode)
        while True:
            left_s, begun = patience.begin(), False
            events = send(call.request, timeout=left_s, metadata=self._settings.metadata)
            try:
                async for event in events:
                    begun = True
                    yield event
            except grpc.RpcError as error:
                if begun:
                    raise known(error, call.key) from None
                refused = known(error, call.key)
            else:
                return
            finally:
                events.cancel()
            await self._sleep(patience.wait_s(refused))


def _channel_to(settings: Settings) -> grpc.aio.Channel:
    credentials, options = settings.credentials, settings.channel_options
    if credentials is None:
        return grpc.aio.insecure_channel(settings.target, options)
    return grpc.aio.secure_channel(settings.target, credentials, options)


class AsyncStream:
    """Deltas as they come, then `completion`: the answer as a whole, with its receipt."""

    def __init__(self, events: AsyncGenerator[Any]) -> None:
        self._events = events
        self._assembler = Assembler()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[Delta]:
        async for event in self._events:
            delta = self._assembler.read(event)
            if delta is not None:
                yield delta
        _ = self.completion  # a stream that ended without its end has failed

    @property
    async def texts(self) -> AsyncIterator[str]:
        """The text alone."""
        async for delta in self:
            if isinstance(delta, TextDelta):
                yield delta.text

    @property
    def completion(self) -> Completion:
        """Raises StreamBroken before the end."""
        return self._assembler.completion

    async def close(self) -> None:
        """End the call, and the provider's with it."""
        await self._events.aclose()
