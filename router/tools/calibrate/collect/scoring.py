"""How good an answer is: by a reference, a verifier, or a judge model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from router.domain.chat import ChatRequest
from router.domain.errors import RouterError
from router.domain.requests import request_digest
from router.gates.judge_prompt import judge_chat, read_score
from router.tools.calibrate.collect.asking import ArmClient
from router.tools.calibrate.collect.budget import Share
from router.tools.calibrate.collect.journal import Journal
from router.tools.calibrate.collect.ledger import Answered, Scored
from router.tools.calibrate.collect.matching import Match, quality_of
from router.tools.calibrate.collect.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Score:
    """quality in [0, 1], or None and why there is none."""

    quality: float | None
    why: str = ""


class Scorer(Protocol):
    def most_usd(self, prompt: Prompt, answer: str | None) -> float:
        """What scoring an answer can cost at most; None for one that is not there yet."""
        ...

    async def score(self, prompt: Prompt, arm: str, reply: Answered, share: Share) -> Score: ...


class ReferenceScorer:
    def __init__(self, how: Match) -> None:
        self._how = how

    def most_usd(self, prompt: Prompt, answer: str | None) -> float:
        del prompt, answer
        return 0.0

    async def score(self, prompt: Prompt, arm: str, reply: Answered, share: Share) -> Score:
        del arm, share
        if prompt.reference is None:
            return Score(None, "no_reference")
        return Score(quality_of(reply.text, prompt.reference, self._how))


class Verifier(Protocol):
    """Somebody else's program."""

    @property
    def name(self) -> str: ...

    async def verify(self, prompt: Prompt, arm: str, answer: str) -> float:
        """Quality in [0, 1]. Raises RouterError."""
        ...


class VerifierScorer:
    """Each answer is shown to the verifier once; what it said is in the journal."""

    def __init__(self, verifier: Verifier, journal: Journal) -> None:
        self._verifier = verifier
        self._journal = journal

    def most_usd(self, prompt: Prompt, answer: str | None) -> float:
        del prompt, answer
        return 0.0

    async def score(self, prompt: Prompt, arm: str, reply: Answered, share: Share) -> Score:
        del share
        key = self._key(prompt.chat, prompt.reference, arm, reply)
        known = self._journal.ledger.scores.get(key)
        if known is not None:
            return Score(known)
        try:
            quality = await self._verifier.verify(prompt, arm, reply.text)
        except RouterError as error:
            return Score(None, error.reason.lower())
        await self._journal.write(Scored(key, quality))
        return Score(quality)

    def _key(self, chat: Any, reference: Any, arm: str, reply: Answered) -> str:
        return request_digest(chat, reference, arm, reply.text, self._verifier.name)


class JudgeScorer:
    """Asks one of the arms; its calls are journaled and paid like any other."""

    def __init__(self, asker: ArmClient, arm: str) -> None:
        self._asker = asker
        self._arm = arm

    def most_usd(self, prompt: Prompt, answer: str | None) -> float:
        chat = _judged(prompt, answer)
        if answer is None:
            return self._asker.bound_usd(chat, self._arm)
        return self._asker.most_usd(chat, self._arm)

    async def score(self, prompt: Prompt, arm: str, reply: Answered, share: Share) -> Score:
        del arm
        said = await self._asker.ask(_judged(prompt, reply.text), self._arm, share)
        if isinstance(said, Answered):
            quality = read_score(said.text)
            return Score(quality, "" if quality is not None else "judge_unreadable")
        return Score(None, f"judge_{said.why}")


def _judged(prompt: Prompt, answer: str | None) -> ChatRequest:
    return judge_chat(prompt.chat, answer, prompt.reference)
