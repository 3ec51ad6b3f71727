"""Collects the answers of all arms to all prompts, several at once, within the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from router.domain.errors import RouterError
from router.tools.calibrate.collect.arm_client import BUDGET, STOPPED, ArmClient, Missing, Reply
from router.tools.calibrate.collect.budget import Budget, CallBudget
from router.tools.calibrate.collect.journal import Answered
from router.tools.calibrate.collect.prompts import Prompt
from router.tools.calibrate.collect.scoring import Score, Scorer


@dataclass(slots=True)
class CollectedPrompt:
    """One prompt with its replies and scores by arm."""

    prompt: Prompt
    replies: dict[str, Reply] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)


class ProgressListener(Protocol):
    """Called for each arm's reply to a prompt once all are there."""

    def replied(self, reply: Reply) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Takes prompts in order; one that the budget can't pay with every arm is left out."""

    client: ArmClient
    scorer: Scorer
    arms: Sequence[str]
    budget: Budget
    stop: asyncio.Event
    concurrency: int

    def was_asked(self, prompt: Prompt) -> bool:
        """Returns whether any arm was sent the prompt, by this run or an earlier one."""
        return any(self.client.was_asked(prompt.chat, arm) for arm in self.arms)

    def is_settled(self, prompt: Prompt) -> bool:
        """Returns whether the prompt was asked, and nothing is left to pay for it."""
        return self.was_asked(prompt) and not self.most_usd(prompt)

    def most_usd(self, prompt: Prompt) -> float:
        """Returns an upper bound of what is still to pay; 0 when every answer is known."""
        return sum(map(sum, self._reserves(prompt).values()))

    def likely_usd(self, prompt: Prompt, answer_tokens: int) -> float:
        """Returns the likely cost of the missing answers, without their scores."""
        return sum(self.client.likely_usd(prompt.chat, arm, answer_tokens) for arm in self.arms)

    def estimate(self, prompts: Sequence[Prompt], answer_tokens: int) -> str:
        """Returns a message on the likely cost, given the tokens of a typical answer."""
        asked = [(p, arm) for p in prompts for arm in self.arms]
        left = sum(self.client.known(p.chat, arm) is None for p, arm in asked)
        likely_usd = sum(self.likely_usd(p, answer_tokens) for p in prompts)
        most_usd = sum(self.most_usd(p) for p in prompts)
        return (
            f"{len(prompts)} prompts x {len(self.arms)} arms: {left} answers to get, "
            f"{len(asked) - left} settled before; about ${likely_usd:.4f} at {answer_tokens} "
            f"tokens an answer, at most ${most_usd:.4f}; ${self.budget.spent_usd:.4f} of the "
            f"budget of ${self.budget.budget_usd:.2f} is spent"
        )

    async def collect(
        self, prompts: Sequence[Prompt], listener: ProgressListener
    ) -> list[CollectedPrompt]:
        """Returns the prompts in order. Raises RouterError, such as JournalUnusable."""
        collected = [CollectedPrompt(prompt) for prompt in prompts]
        waiting = iter(collected)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.concurrency):
                    group.create_task(self._work(waiting, listener))
        except ExceptionGroup as errors:
            known = errors.subgroup(RouterError)
            raise (_first(known) if known else errors) from None
        return collected

    async def _work(self, waiting: Iterable[CollectedPrompt], listener: ProgressListener) -> None:
        for one in waiting:
            await self._ask_all(one)
            for reply in one.replies.values():
                listener.replied(reply)

    async def _ask_all(self, one: CollectedPrompt) -> None:
        """Ask every arm; known answers are free, and are there even without any budget left."""
        reserves = self._reserves(one.prompt)
        enough = await self._reserve(sum(map(sum, reserves.values())))
        if not enough:
            reserves = dict.fromkeys(self.arms, (0.0, 0.0))
        # A reservation per call: what one did not use must not pay twice for another.
        jobs = (self._ask(one, arm, usd, enough=enough) for arm, usd in reserves.items())
        await asyncio.gather(*jobs)

    def _reserves(self, prompt: Prompt) -> dict[str, tuple[float, float]]:
        """Returns upper bounds, by arm, for asking it and for scoring its answer."""
        return {
            arm: (self.client.most_usd(prompt.chat, arm), self._scoring_usd(prompt, arm))
            for arm in self.arms
        }

    def _scoring_usd(self, prompt: Prompt, arm: str) -> float:
        known = self.client.known(prompt.chat, arm)
        if isinstance(known, Answered):
            return self.scorer.most_usd(prompt, known.text)
        return self.scorer.most_usd(prompt, None) if known is None else 0.0

    async def _reserve(self, usd: float) -> bool:
        if self.stop.is_set():
            return False
        return not usd or await self.budget.wait_and_reserve(usd)

    async def _ask(
        self, one: CollectedPrompt, arm: str, usd: tuple[float, float], *, enough: bool
    ) -> None:
        asking, scoring = CallBudget(self.budget, usd[0]), CallBudget(self.budget, usd[1])
        try:
            one.replies[arm] = await self._reply(one.prompt, arm, asking, enough=enough)
            await asking.close()
            reply = one.replies[arm]
            if isinstance(reply, Answered):
                one.scores[arm] = await self.scorer.score(one.prompt, arm, reply, scoring)
        finally:
            await asking.close()
            await scoring.close()

    async def _reply(self, prompt: Prompt, arm: str, held: CallBudget, *, enough: bool) -> Reply:
        if enough:
            return await self.client.ask(prompt.chat, arm, held)
        missing = Missing(STOPPED if self.stop.is_set() else BUDGET)
        return self.client.known(prompt.chat, arm) or missing


def _first(errors: BaseException) -> BaseException:
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    return errors
