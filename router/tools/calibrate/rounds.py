"""Rounds of prompts: picked balanced over clusters, asked once, kept for the rounds that follow."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from bandit.types import Context
from router.domain.errors import RouterError
from router.tools.calibrate.collect.arm_client import BUDGET, Missing
from router.tools.calibrate.collect.budget import Budget
from router.tools.calibrate.collect.collector import CollectedPrompt, Collector, ProgressListener
from router.tools.calibrate.collect.journal import Journal
from router.tools.calibrate.collect.picks import cluster_of, picking_order
from router.tools.calibrate.collect.prompts import Prompt
from router.tools.calibrate.sources import Sources
from router.tools.calibrate.terminal import until_stopped


class Stopped(RouterError):
    """The user stopped the calibration; paid answers are in the journal."""

    reason = "STOPPED"


@dataclass(slots=True, kw_only=True)
class Rounds:
    """Prompts of a file with their contexts, and of those asked so far what came, by place.

    say: prints a line. bar: shows the progress of so many answers. refused, refused_usd: see
    `router.tools.calibrate.analysis.goal.Progress`.
    """

    sources: Sources
    prompts: Sequence[Prompt]
    contexts: Sequence[Context]
    journal: Journal
    budget: Budget
    say: Callable[[str], None]
    bar: Callable[[int, Budget], AbstractContextManager[ProgressListener]]
    collected: dict[int, CollectedPrompt] = field(default_factory=dict)
    refused: int = 0
    refused_usd: float = 0.0
    _order: list[int] = field(default_factory=list)

    @property
    def sizes(self) -> Mapping[int, int]:
        """Returns how many prompts of the file there are by cluster."""
        return Counter(map(cluster_of, self.contexts))

    @property
    def found(self) -> tuple[list[CollectedPrompt], list[Context]]:
        """Returns what was collected so far, in the order of the file, with its contexts."""
        places = sorted(self.collected)
        return [self.collected[p] for p in places], [self.contexts[p] for p in places]

    @property
    def doubtful_usd(self) -> float:
        return sum(intent.most_usd for intent in self.journal.ledger.doubts.values())

    async def ask(self, count: int) -> None:
        """Ask so many prompts in all, and have every other one that was paid for before.

        Raises Stopped, JournalUnusable.
        """
        stop, policy = asyncio.Event(), self.sources.config.policy
        async with self.sources.collector(self.journal, self.budget, stop) as collector:
            if not self._order:
                self._order = self._ordered(collector, policy.seed)
            settled = (p for p in self._order[count:] if collector.is_settled(self.prompts[p]))
            places = [p for p in [*self._order[:count], *settled] if p not in self.collected]
            chosen = [self.prompts[place] for place in places]
            self.say(collector.estimate(chosen, policy.typical_tokens.output))
            total = len(chosen) * len(collector.arms)
            with self.bar(total, self.budget) as listener:
                work = collector.collect(chosen, listener)
                found = await until_stopped(work, stop, self.say)
            refused = [one.prompt for one in found if Missing(BUDGET) in one.replies.values()]
            self.refused = len(refused)
            self.refused_usd = max(map(collector.most_usd, refused), default=0.0)
        if stop.is_set():
            raise Stopped(
                f"stopped after ${self.budget.spent_usd:.4f}; the answers are in "
                f"{self.journal.path}: run the same command again to go on from there"
            )
        self.collected |= dict(zip(places, found, strict=True))

    def _ordered(self, collector: Collector, seed: int) -> list[int]:
        clusters = [cluster_of(context) for context in self.contexts]
        paid = {place for place, one in enumerate(self.prompts) if collector.was_asked(one)}
        return picking_order(self.prompts, clusters, paid, seed)
