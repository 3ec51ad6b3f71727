"""What the journal says, added up: which calls are paid, which are in doubt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from router.domain.chat import Answer, FinishReason, Usage

VERSION = 1


class Opened(msgspec.Struct, frozen=True, tag="calibration"):
    """The first line."""

    version: int


class Intent(msgspec.Struct, frozen=True, tag="intent"):
    """Written before a call. key: of the question. most_usd: what the call can cost at most."""

    key: str
    call: int
    deployment: str
    most_usd: float


class Answered(msgspec.Struct, frozen=True, tag="answer"):
    """cost_usd: charged. most_usd: possibly charged, where the provider counted no tokens."""

    key: str
    call: int
    deployment: str
    model: str
    text: str
    finish_reason: FinishReason
    input_tokens: int
    output_tokens: int
    cost_usd: float
    latency_ms: float
    mean_logprob: float | None = None
    refusal: bool = False
    most_usd: float | None = None

    @property
    def charged_usd(self) -> float:
        """As the budget counts it."""
        return self.cost_usd if self.most_usd is None else self.most_usd

    @property
    def answer(self) -> Answer:
        return Answer(
            text=self.text,
            finish_reason=self.finish_reason,
            usage=Usage(self.input_tokens, self.output_tokens),
            model=self.model,
            mean_logprob=self.mean_logprob,
            refusal=self.refusal,
        )


class Failed(msgspec.Struct, frozen=True, tag="failure"):
    """why: a provider error's reason. cost_usd: probably charged. most_usd: possibly charged."""

    key: str
    call: int
    deployment: str
    why: str
    cost_usd: float
    most_usd: float
    latency_ms: float
    retry_after_ms: int | None = None

    @property
    def charged_usd(self) -> float:
        """As the budget counts it."""
        return self.most_usd


class Scored(msgspec.Struct, frozen=True, tag="score"):
    """What a verifier said of an answer."""

    key: str
    quality: float


Entry: TypeAlias = Opened | Intent | Answered | Failed | Scored


@dataclass(slots=True)
class Ledger:
    """answers: the last of each question. doubts: calls whose end nobody wrote down.

    failures: the last of each question that may have been charged, else the last.
    """

    answers: dict[str, Answered] = field(default_factory=dict)
    failures: dict[str, Failed] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    doubts: dict[tuple[str, int], Intent] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    paid_usd: float = 0.0

    @staticmethod
    def of(entries: Iterable[Entry]) -> Ledger:
        ledger = Ledger()
        for entry in entries:
            ledger.add(entry)
        return ledger

    @property
    def spent_usd(self) -> float:
        """Paid, and what the calls in doubt can have cost at most."""
        return self.paid_usd + sum(intent.most_usd for intent in self.doubts.values())

    @property
    def unsettled(self) -> Iterator[str]:
        """Questions that were sent and may have been charged, without an answer."""
        yield from (key for key, _ in self.doubts)
        yield from (key for key, failure in self.failures.items() if failure.most_usd > 0)

    def is_doubtful(self, key: str) -> bool:
        return any(key == doubted for doubted, _ in self.doubts)

    def add(self, entry: Entry) -> None:
        match entry:
            case Intent():
                self.calls[entry.key] = max(entry.call, self.calls.get(entry.key, 0))
                self.doubts[entry.key, entry.call] = entry
            case Answered():
                self.doubts.pop((entry.key, entry.call), None)
                self.answers[entry.key] = entry
                self.paid_usd += entry.charged_usd
            case Failed():
                self.doubts.pop((entry.key, entry.call), None)
                known = self.failures.get(entry.key)
                if entry.most_usd > 0 or known is None or not known.most_usd:
                    self.failures[entry.key] = entry
                self.paid_usd += entry.charged_usd
            case Scored():
                self.scores[entry.key] = entry.quality
            case Opened():
                pass
