"""All prompts to all arms, several at once, within the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from router.domain.errors import RouterError
from router.tools.calibrate.collect.asking import BUDGET, STOPPED, ArmClient, Missing, Reply
from router.tools.calibrate.collect.budget import Budget, Share
from router.tools.calibrate.collect.ledger import Answered
from router.tools.calibrate.collect.prompts import Prompt
from router.tools.calibrate.collect.scoring import Score, Scorer


@dataclass(slots=True)
class Case:
    """One prompt and what came of it, by arm."""

    prompt: Prompt
    replies: dict[str, Reply] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)


class Watcher(Protocol):
    """Told of each arm's reply once all are there."""

    def replied(self, reply: Reply) -> None: ...


class Collector:
    """Prompts are taken in order; one that can't be paid for with every arm is left out."""

    def __init__(
        self,
        *,
        asker: ArmClient,
        scorer: Scorer,
        arms: Sequence[str],
        purse: Budget,
        stop: asyncio.Event,
        concurrency: int,
    ) -> None:
        self._asker = asker
        self._scorer = scorer
        self._arms = arms
        self._purse = purse
        self._stop = stop
        self._concurrency = concurrency

    def most_usd(self, prompt: Prompt) -> float:
        """What is still to be paid for a prompt, at most; 0 when every answer is known."""
        return sum(map(sum, self._reserves(prompt).values()))

    def likely_usd(self, prompt: Prompt, answer_tokens: int) -> float:
        """What the answers still to be had will probably cost, without their scores."""
        return sum(self._asker.likely_usd(prompt.chat, arm, answer_tokens) for arm in self._arms)

    def is_open(self, prompt: Prompt, arm: str) -> bool:
        """Whether an answer is still to be had."""
        return self._asker.known(prompt.chat, arm) is None

    async def gather(self, prompts: Sequence[Prompt], watcher: Watcher) -> list[Case]:
        """In the order of the prompts. Raises RouterError: JournalUnusable and the like."""
        cases = [Case(prompt) for prompt in prompts]
        waiting = iter(cases)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(self._work(waiting, watcher))
        except ExceptionGroup as errors:
            known = errors.subgroup(RouterError)
            raise (_first(known) if known else errors) from None
        return cases

    async def _work(self, waiting: Iterable[Case], watcher: Watcher) -> None:
        for case in waiting:
            await self._one(case)
            for reply in case.replies.values():
                watcher.replied(reply)

    async def _one(self, case: Case) -> None:
        """Known answers cost nothing, and are there even when the budget is used up."""
        reserves = self._reserves(case.prompt)
        enough = await self._take(sum(map(sum, reserves.values())))
        if not enough:
            reserves = dict.fromkeys(self._arms, (0.0, 0.0))
        # Each call has a share of its own: what one did not use must not pay twice for another.
        jobs = (
            self._arm(
                case, arm, Share(self._purse, asking), Share(self._purse, scoring), enough=enough
            )
            for arm, (asking, scoring) in reserves.items()
        )
        await asyncio.gather(*jobs)

    def _reserves(self, prompt: Prompt) -> dict[str, tuple[float, float]]:
        """What asking each arm, and scoring its answer, can still cost at most."""
        return {
            arm: (self._asker.most_usd(prompt.chat, arm), self._scoring_usd(prompt, arm))
            for arm in self._arms
        }

    def _scoring_usd(self, prompt: Prompt, arm: str) -> float:
        known = self._asker.known(prompt.chat, arm)
        if isinstance(known, Answered):
            return self._scorer.most_usd(prompt, known.text)
        return self._scorer.most_usd(prompt, None) if known is None else 0.0

    async def _take(self, usd: float) -> bool:
        if self._stop.is_set():
            return False
        return not usd or await self._purse.wait_and_take(usd)

    async def _arm(
        self, case: Case, arm: str, asking: Share, scoring: Share, *, enough: bool
    ) -> None:
        try:
            case.replies[arm] = await self._reply(case.prompt, arm, asking, enough=enough)
            await asking.close()
            reply = case.replies[arm]
            if isinstance(reply, Answered):
                case.scores[arm] = await self._scorer.score(case.prompt, arm, reply, scoring)
        finally:
            await asking.close()
            await scoring.close()

    async def _reply(self, prompt: Prompt, arm: str, share: Share, *, enough: bool) -> Reply:
        if enough:
            return await self._asker.ask(prompt.chat, arm, share)
        missing = Missing(STOPPED if self._stop.is_set() else BUDGET)
        return self._asker.known(prompt.chat, arm) or missing


def _first(errors: BaseException) -> BaseException:
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    return errors
