"""Conversations of the simulated world: easy ones, hard ones, and some of both."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from demo.caching import BYTES_PER_TOKEN
from demo.client import Ask
from demo.phrases import CITIES, GOODS, NAMES, NOTES
from demo.simulated import PROFILES, VISIBLE_SHARE, SimulatedWorld
from demo.world import Profile, Reply, chance

HARD = 0.45
TURNS, MOST_TURNS = 6, 20
LOOP_SHARE, MOST_LOOKUPS = 0.4, 3
PAUSE_SHARE = 0.2
CACHE_TTL_S = 3
RULES_TOKENS, PAPERS_TOKENS, NOTE_TOKENS = 1_200, 6_000, 400
# Terms of the day: some give half of the price of what they kept, some a tenth, and charge writing.
CACHED = {"cheap": 0.075, "reasoning": 0.25, "fallback": 0.05}
WRITE = {"reasoning": 3.125}
RULES = {
    "help desk": "You answer customers in a friendly way, briefly and without jargon.",
    "engineering": "You are a careful engineer. Think step by step, check it, then answer.",
    "assistant": "You help with whatever is asked.",
}


@dataclass(frozen=True, slots=True)
class Talk:
    """pause_at: before the question of this number its caller is away until no cache is warm."""

    number: int
    task: str
    rules: str
    asks: tuple[Ask, ...]
    pause_at: int


class TalkWorld(SimulatedWorld):
    """Implements `World`: its providers cache prompts, and look things up before hard answers."""

    @property
    def profiles(self) -> Mapping[str, Profile]:
        return {
            arm: replace(
                profile,
                cached_input_usd_per_mtok=CACHED[arm],
                cache_write_usd_per_mtok=WRITE.get(arm),
                cache_ttl_s=CACHE_TTL_S,
            )
            for arm, profile in PROFILES.items()
        }

    def reply(self, arm: str, index: int) -> Reply:
        """Returns answers as long as they are charged for, where they are not a bare value."""
        reply = super().reply(arm, index)
        begin, found, end = reply.text.partition(" Here is what I found.")
        size = int(reply.output_tokens * BYTES_PER_TOKEN * VISIBLE_SHARE) if found else 0
        text = f"{begin}{found}{notes(size, self._seed, arm, index)}{end}"
        return replace(reply, text=text, lookups=self._lookups(index))

    def _lookups(self, index: int) -> int:
        draw = chance(self._seed, index, "lookups") / LOOP_SHARE
        return 1 + int(draw * MOST_LOOKUPS) if self._is_hard(index) and draw < 1 else 0

    def _is_hard(self, index: int) -> bool:
        return self._prompts[index].difficulty >= HARD

    @cached_property
    def talks(self) -> Sequence[Talk]:
        """Returns conversations until the next one lacks questions of its kind."""
        rng, made = random.Random(self._seed), list[Talk]()
        most = min(MOST_TURNS, len(self.asks) // MOST_TURNS + 3)
        left = {hard: [a for a in self.asks if self._is_hard(a.index) == hard] for hard in (0, 1)}
        while True:
            task = rng.choice([*RULES])
            length = min(1 + int(rng.expovariate(1 / (TURNS - 0.5))), most)
            kinds = {"help desk": [0], "engineering": [1]}.get(task, [0, 1])
            drawn = [left[rng.choice(kinds)] for _ in range(length)]
            if not all(drawn.count(left[kind]) <= len(left[kind]) for kind in kinds):
                return made
            asks = tuple(questions.pop() for questions in drawn)
            pause_at = rng.randrange(length) if rng.random() < PAUSE_SHARE else 0
            made.append(Talk(len(made), task, self._rules(task, len(made)), asks, pause_at))

    def _rules(self, task: str, number: int) -> str:
        """Returns a system prompt; every second account has papers attached."""
        papers = int(PAPERS_TOKENS * max(0.0, 2 * chance(self._seed, number, "papers") - 1))
        size = (RULES_TOKENS + papers) * BYTES_PER_TOKEN
        return f"{RULES[task]} What is known of account {number}:" + notes(size, task, number)


def notes(size: int, *key: object) -> str:
    """Returns sentences of at least `size` bytes in all, fixed by the key."""
    rng, text = random.Random(repr(key)), ""
    while len(text) < size:
        name, city, goods = rng.choice(NAMES), rng.choice(CITIES), rng.choice(GOODS)
        count = rng.randint(2, 90)
        text += " " + rng.choice(NOTES).format(name=name, city=city, count=count, goods=goods)
    return text
