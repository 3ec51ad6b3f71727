"""Follows a decision while its caller calls the model. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from adaptive_router_client.calls import Outcome
from adaptive_router_client.failures import Failure, failure_of
from adaptive_router_client.results import Decided, OutcomeRecorded, Receipt

MS_PER_S = 1_000
REPORT_S = 10.0
"""How long the end of a block waits for the router to take its report."""


class NothingReported(RuntimeError):
    """The block ended and said neither `succeeded`, `failed`, `cancel` nor `detach`."""


class DecisionUnderWay:
    """Names what to call, and takes what came of it.

    Latency counts from the decision to the word, unless it is given. An exception that leaves the
    block is reported as the failure that it is (`failure_of`), and goes on. The first word counts.
    """

    def __init__(self, decided: Decided, clock: Callable[[], float]) -> None:
        self.receipt: Receipt = decided.receipt
        self.rungs = decided.rungs
        self.recorded: OutcomeRecorded | None = None
        """The router's acknowledgement; None before the block's end, and where there was none."""
        self._clock = clock
        self._began_s = clock()
        self._outcome: Outcome | None = None
        self._detached = False

    @property
    def decision_id(self) -> str:
        return self.receipt.decision_id

    @property
    def arm(self) -> str:
        return self.receipt.arm

    @property
    def deployment(self) -> str:
        return self.receipt.deployment

    @property
    def model(self) -> str:
        return self.receipt.model

    def succeeded(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        cached_input_tokens: int = 0,
        cache_write_tokens: int = 0,
        reasoning_tokens: int = 0,
        latency_ms: float | None = None,
    ) -> None:
        """Take a success: its tokens are charged, its latency is learned."""
        outcome = Outcome(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_input_tokens=cached_input_tokens,
            cache_write_tokens=cache_write_tokens,
            reasoning_tokens=reasoning_tokens,
        )
        self._say(outcome, latency_ms)

    def failed(
        self,
        failure: Failure,
        *,
        input_tokens: int = 0,
        output_tokens: int = 0,
        latency_ms: float | None = None,
    ) -> None:
        """Take a failure, with the tokens that it cost all the same."""
        outcome = Outcome(failure=failure, input_tokens=input_tokens, output_tokens=output_tokens)
        self._say(outcome, latency_ms)

    def cancel(self) -> None:
        """Take it that no call was made after all: nothing is charged, nobody is blamed."""
        self.failed("cancelled")

    def detach(self) -> None:
        """Report nothing at the end of the block: the caller does, with `report_outcome`."""
        self._detached = True

    def _say(self, outcome: Outcome, latency_ms: float | None) -> None:
        measured_ms = (self._clock() - self._began_s) * MS_PER_S
        if self._outcome is None:
            told_ms = measured_ms if latency_ms is None else latency_ms
            self._outcome = replace(outcome, latency_ms=told_ms)

    def end(self, error: BaseException | None) -> Outcome | None:
        """Returns what is to be reported as the block ends; None for nothing."""
        if self._detached:
            return None
        if error is not None:
            self.failed(failure_of(error))
        if self._outcome is None:
            self.cancel()
        return self._outcome

    @property
    def is_silent(self) -> bool:
        """True where the block has said nothing so far."""
        return self._outcome is None and not self._detached


def silence() -> NothingReported:
    return NothingReported(
        "nothing was said of the call: say succeeded(...), failed(...), cancel() or detach(); "
        "it was reported as cancelled"
    )
