"""Scorers of answers of several arms to one prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from router.domain.catalog import Arm, Catalog
from router.domain.chat import Answer, ChatRequest, Format, Usage
from router.domain.eligibility import Requirements, most_cost_usd
from router.domain.events import EvidenceSource
from router.gates.agreement import agreement
from router.gates.closed_answers import AnswerKind, ClosedAnswer, asked_kind, closed_answer
from router.gates.gate_session import GuardedVerifier
from router.gates.judge_prompt import MOST_BYTES, judge_chat, read_score
from router.serving.attempts import PlanRun
from router.serving.evidence.purchase import together

JUDGED_TOKENS: Final = 150
"""What a judge writes, about."""
ANSWER_TOKENS: Final = 600
"""An answer and the judge's task, about."""
MOST_READ_TOKENS: Final = MOST_BYTES // 3
MOST_JUDGED_CHARACTERS: Final = 4 * MOST_BYTES
VERIFIED_MS: Final = 60_000.0
"""No longer than the verifier's own limit."""
MOST_RIGHT: Final = 2
"""Answers that agree, at least, to be held right."""
OUTVOTED: Final = 3
"""Answers of which one can be outvoted: two that agree are held right and else nothing is known, so
that they tell nothing of how the arms differ."""

Answers: TypeAlias = Mapping[str, Answer]
Scores: TypeAlias = dict[str, float]
Call: TypeAlias = Callable[[PlanRun], Coroutine[Any, Any, None]]
"""Makes a call whose cost counts as evidence."""


class AnswerScorer(Protocol):
    """Scores the answers of a prompt."""

    @property
    def source(self) -> EvidenceSource: ...

    @property
    def fewest(self) -> int:
        """Returns how many answers it takes to tell anything."""
        ...

    def fits(self, chat: ChatRequest) -> bool:
        """Returns whether answers to such a request can be scored."""
        ...

    def takes(self, chat: ChatRequest, answer: Answer) -> bool:
        """Returns whether an answer, by itself, can be."""
        ...

    def price_usd(self, input_tokens: int, answers: int) -> float:
        """Returns what scoring them costs, about. input_tokens: of the request."""
        ...

    def most_usd(self, chat: ChatRequest, answers: int) -> float:
        """Returns what it costs at most."""
        ...

    async def scores(self, chat: ChatRequest, tenant: str, answers: Answers, call: Call) -> Scores:
        """Returns quality in [0, 1] by arm; an arm is left out where it can't be told."""
        ...


def _is_text(chat: ChatRequest) -> bool:
    """Returns whether nothing but text is asked and answered."""
    return not chat.tools and not chat.images


@dataclass(frozen=True, slots=True)
class GradingArm:
    """An arm grades each answer by itself: no order of answers can sway it."""

    catalog: Catalog
    arm: str
    source: EvidenceSource = EvidenceSource.JUDGE
    fewest: int = 2

    def fits(self, chat: ChatRequest) -> bool:
        """Returns False for a conversation of which the judge would see the ends alone."""
        return _is_text(chat) and chat.characters <= MOST_JUDGED_CHARACTERS

    def takes(self, chat: ChatRequest, answer: Answer) -> bool:
        return self.fits(chat) and bool(answer.text)

    def price_usd(self, input_tokens: int, answers: int) -> float:
        read = min(input_tokens, MOST_READ_TOKENS) + ANSWER_TOKENS
        price = self._judge.deployments[0].price
        return answers * price.cost_usd(Usage(read, JUDGED_TOKENS))

    def most_usd(self, chat: ChatRequest, answers: int) -> float:
        return answers * most_cost_usd(self._judge, Requirements.of(judge_chat(chat, None)))

    async def scores(
        self,
        chat: ChatRequest,
        tenant: str,  # noqa: ARG002 - the arm is the operator's
        answers: Answers,
        call: Call,
    ) -> Scores:
        runs = {arm: self._run(judge_chat(chat, answer.text)) for arm, answer in answers.items()}
        await together(map(call, runs.values()))
        read = {arm: read_score(r.answer.text) if r.answer else None for arm, r in runs.items()}
        return {arm: quality for arm, quality in read.items() if quality is not None}

    def _run(self, chat: ChatRequest) -> PlanRun:
        return PlanRun(chat, Requirements.of(chat), (self.arm,))

    @property
    def _judge(self) -> Arm:
        return self.catalog.arms[self.arm]


@dataclass(frozen=True, slots=True)
class AskedVerifier:
    """The verifier of `judging` scores each answer; it costs nothing here."""

    verifier: GuardedVerifier
    source: EvidenceSource = EvidenceSource.VERIFIER
    fewest: int = 2

    def fits(self, chat: ChatRequest) -> bool:  # noqa: ARG002 - it may know anything
        return True

    def takes(self, chat: ChatRequest, answer: Answer) -> bool:  # noqa: ARG002 - as above
        return True

    def price_usd(self, input_tokens: int, answers: int) -> float:  # noqa: ARG002 - as above
        return 0.0

    def most_usd(self, chat: ChatRequest, answers: int) -> float:  # noqa: ARG002 - as above
        return 0.0

    async def scores(
        self,
        chat: ChatRequest,
        tenant: str,
        answers: Answers,
        call: Call,  # noqa: ARG002 - no arm is called
    ) -> Scores:
        told = (
            self.verifier.verdict(chat, tenant, arm, answer, VERIFIED_MS)
            for arm, answer in answers.items()
        )
        known = zip(answers, await together(told), strict=True)
        return {arm: quality for arm, quality in known if quality is not None}


@dataclass(frozen=True, slots=True)
class ClosedMajority:
    """The closed answer that most arms settle on is held right; without a majority none is."""

    source: EvidenceSource = EvidenceSource.AGREEMENT
    fewest: int = OUTVOTED

    def fits(self, chat: ChatRequest) -> bool:
        return _is_text(chat)

    def takes(self, chat: ChatRequest, answer: Answer) -> bool:
        return _is_text(chat) and closed_answer(answer.text, _asked(chat)) is not None

    def price_usd(self, input_tokens: int, answers: int) -> float:  # noqa: ARG002 - nobody is asked
        return 0.0

    def most_usd(self, chat: ChatRequest, answers: int) -> float:  # noqa: ARG002 - as above
        return 0.0

    async def scores(
        self,
        chat: ChatRequest,
        tenant: str,  # noqa: ARG002 - nobody is asked
        answers: Answers,
        call: Call,  # noqa: ARG002 - as above
    ) -> Scores:
        asked = _asked(chat)
        return majority({arm: closed_answer(a.text, asked) for arm, a in answers.items()})


def _asked(chat: ChatRequest) -> AnswerKind | None:
    return asked_kind(chat.prompt, wants_json=chat.response_format.kind is not Format.TEXT)


def majority(closed: Mapping[str, ClosedAnswer | None]) -> Scores:
    """Returns 1 for the arms of the one largest group of equal answers, 0 for the others.

    Nothing where two groups are as large, nobody agrees, or nobody could have been outvoted.
    """
    if len(closed) < OUTVOTED:
        return {}
    alike = Counter[str]()
    for arm, own in closed.items():
        others = (other for name, other in closed.items() if name != arm)
        alike[arm] = 1 + sum((agreement(own, other) or 0) > 0 for other in others)
    most = max(alike.values(), default=0)
    right = [arm for arm, count in alike.items() if count == most]
    if most < MOST_RIGHT or len(right) != most:
        return {}
    return {arm: float(arm in right) for arm in closed}
