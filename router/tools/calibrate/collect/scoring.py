"""Scores an answer: by a reference, a verifier, or a judge model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from router.domain.chat import ChatRequest
from router.domain.errors import RouterError, VerifierFailed, VerifierMalformed
from router.domain.requests import request_digest
from router.gates.judge_prompt import judge_chat, read_score
from router.ports.upstream import Verifier, VerifierCase
from router.tools.calibrate.collect.arm_client import ArmClient
from router.tools.calibrate.collect.budget import CallBudget
from router.tools.calibrate.collect.journal import Answered, Journal, Scored
from router.tools.calibrate.collect.matching import Match, quality_of
from router.tools.calibrate.collect.prompts import Prompt

TIMEOUT_MS: Final = 30_000
"""No caller waits for an answer that is scored here."""
TRIES: Final = 3
PAUSE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Score:
    """quality in [0, 1]; None if there is none, and why."""

    quality: float | None
    why: str = ""


class Scorer(Protocol):
    def most_usd(self, prompt: Prompt, answer: str | None) -> float:
        """Returns an upper bound for scoring an answer; None for one that is still to come."""
        ...

    async def score(self, prompt: Prompt, arm: str, reply: Answered, held: CallBudget) -> Score: ...


class _FreeScorer:
    def most_usd(self, prompt: Prompt, answer: str | None) -> float:
        del prompt, answer
        return 0.0


@dataclass(frozen=True, slots=True)
class ReferenceScorer(_FreeScorer):
    how: Match

    async def score(self, prompt: Prompt, arm: str, reply: Answered, held: CallBudget) -> Score:
        del arm, held
        if prompt.reference is None:
            return Score(None, "no_reference")
        return Score(quality_of(reply.text, prompt.reference, self.how))


@dataclass(frozen=True, slots=True)
class VerifierScorer(_FreeScorer):
    """Shows each answer to a verifier once; its scores are in the journal.

    name: of the verifier, part of the key in the journal.
    """

    verifier: Verifier
    name: str
    journal: Journal

    async def score(self, prompt: Prompt, arm: str, reply: Answered, held: CallBudget) -> Score:
        del held
        key = request_digest(prompt.chat, prompt.reference, arm, reply.text, self.name)
        known = self.journal.ledger.scores.get(key)
        if known is not None:
            return Score(known)
        try:
            quality = await self._verified(
                VerifierCase(prompt.chat, arm, reply.text, reference=prompt.reference, id=prompt.id)
            )
        except RouterError as error:
            return Score(None, error.reason.lower())
        await self.journal.write(Scored(key, quality))
        return Score(quality)

    async def _verified(self, case: VerifierCase) -> float:
        """Raises VerifierFailed, also if the verifier abstains."""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(PAUSE_S * 2**attempt)
            try:
                quality = await self.verifier.verify(case, TIMEOUT_MS)
            except VerifierMalformed:
                raise
            except VerifierFailed:
                continue
            if quality is None:
                raise VerifierFailed("the verifier abstained")
            return quality
        raise VerifierFailed("the verifier did not answer: see that it runs at --verifier")


@dataclass(frozen=True, slots=True)
class JudgeScorer:
    """Asks one of the arms; its calls are journaled and paid like any other."""

    client: ArmClient
    arm: str

    def most_usd(self, prompt: Prompt, answer: str | None) -> float:
        chat = _judge_chat(prompt, answer)
        if answer is None:
            return self.client.bound_usd(chat, self.arm)
        return self.client.most_usd(chat, self.arm)

    async def score(self, prompt: Prompt, arm: str, reply: Answered, held: CallBudget) -> Score:
        del arm
        judged = await self.client.ask(_judge_chat(prompt, reply.text), self.arm, held)
        if isinstance(judged, Answered):
            quality = read_score(judged.text)
            return Score(quality, "" if quality is not None else "judge_unreadable")
        return Score(None, f"judge_{judged.why}")


def _judge_chat(prompt: Prompt, answer: str | None) -> ChatRequest:
    return judge_chat(prompt.chat, answer, prompt.reference)
