"""One purchase of evidence: its calls, what was paid for them, and the event that comes of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from router.domain.catalog import Arm, Catalog
from router.domain.chat import Answer
from router.domain.errors import ProviderMalformed, ProviderTimeout
from router.domain.events import ArmAnswer, EvidenceBought, EvidenceSource
from router.domain.records import Attempt, AttemptOutcome
from router.serving.attempts import PlanRun
from router.serving.request_state import RequestState

T = TypeVar("T")
ARM_FAULTS: Final = {error.reason.lower() for error in (ProviderMalformed, ProviderTimeout)}
"""Failures that tell of an arm's quality; one that is down, busy or locked out shows nothing."""


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Returns the results in order; where one fails or is cancelled none of the others goes on."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
    return [task.result() for task in tasks]


def terms_of(arm: Arm) -> str:
    """Returns a digest of the models and prices that an arm stands for."""
    told = repr([(d.model, d.price) for d in arm.deployments])
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def plans_alone(catalog: Catalog) -> dict[str, str]:
    """Returns the plan that is an arm alone, by arm: a policy knows plans, whatever their names."""
    return {p.rungs[0]: p.name for p in catalog.plans.values() if len(p.rungs) == 1}


@dataclass(slots=True)
class Purchase:
    """A decision whose other arms are asked. others: by arm, without the one that answered.

    calls: all that were begun, those of a judge too; what they cost stays true when they are cut
    short. scores: by arm. audit_share, value_usd: see `EvidenceBought`.
    """

    state: RequestState
    served: str
    others: dict[str, PlanRun]
    audit_share: float = 0.0
    value_usd: float = 0.0
    calls: list[PlanRun] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.state.id

    @property
    def attempts(self) -> list[Attempt]:
        return [attempt for call in self.calls for attempt in call.attempts]

    @property
    def cost_usd(self) -> float:
        return sum(attempt.cost_usd for attempt in self.attempts)

    @property
    def answers(self) -> dict[str, Answer]:
        """Returns the answers there are, that of the caller first."""
        found = {self.served: self.state.answer}
        found |= {arm: run.answer for arm, run in self.others.items()}
        return {arm: answer for arm, answer in found.items() if answer is not None}

    def event(self, source: EvidenceSource, terms: dict[str, str]) -> EvidenceBought:
        """Returns what is known by now; an arm of which nothing is known is left out."""
        run = self.state.run
        own = [] if run is None else [a for a in run.attempts if a.arm == self.served]
        passed = run is not None and run.passed
        rows = [self._row(self.served, own, self.state.answer, passed=passed)]
        rows += [
            self._row(arm, call.attempts, call.answer, passed=call.passed)
            for arm, call in self.others.items()
        ]
        arms = tuple(self._on_terms(row, terms) for row in rows if row is not None)
        return EvidenceBought(
            self.id,
            source,
            self.state.evidence_share,
            arms,
            cost_usd=self.cost_usd,
            value_usd=self.value_usd,
            audit_share=self.audit_share,
        )

    def _on_terms(self, row: _Row, terms: dict[str, str]) -> ArmAnswer:
        arm, attempts, answer, passed = row
        quality = self.scores.get(arm) if answer is not None else 0.0
        return ArmAnswer(
            arm,
            quality,
            _cost_usd(attempts),
            sum(attempt.latency_ms for attempt in attempts),
            failed=answer is None,
            passed=passed,
            served=arm == self.served,
            input_usd=next((a.input_usd for a in attempts if a.cost_usd > 0), 0.0),
            model=answer.model if answer is not None else "",
            terms=terms.get(arm, ""),
        )

    def _row(
        self, arm: str, attempts: Sequence[Attempt], answer: Answer | None, *, passed: bool
    ) -> _Row | None:
        called = [attempt for attempt in attempts if attempt.deployment]
        if not called or (answer is None and not _is_faulty(called[-1])):
            return None
        return arm, called, answer, passed


_Row = tuple[str, list[Attempt], Answer | None, bool]


def _is_faulty(last: Attempt) -> bool:
    return last.outcome is AttemptOutcome.FAILED and last.why in ARM_FAULTS


def _cost_usd(attempts: Sequence[Attempt]) -> float | None:
    """Returns None where an attempt without an answer was not counted: its charge is a bound."""
    bounds = (AttemptOutcome.FAILED, AttemptOutcome.CANCELLED)
    if any(a.guessed and a.outcome in bounds for a in attempts):
        return None
    return sum(attempt.cost_usd for attempt in attempts)
