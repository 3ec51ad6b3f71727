"""A simulated world: invented prompts, and models whose skill falls with difficulty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

from demo.client import Ask
from demo.prompts import make_prompts
from demo.topics import Prompt
from demo.world import Profile, Reply, chance

PROFILES = {
    "cheap": Profile(0.15, 0.60, first_token_ms=25, token_ms=0.25, failure_rate=0.01),
    "reasoning": Profile(2.5, 10.0, first_token_ms=90, token_ms=0.4, failure_rate=0.01),
    "fallback": Profile(0.5, 1.5, first_token_ms=40, token_ms=0.3, failure_rate=0.005),
}
# Difficulty at which an arm is right half of the time, by topic where it differs.
BREAKING_POINTS = {"cheap": 0.65, "reasoning": 1.35, "fallback": 0.8}
TOPIC_SHIFTS = {
    "cheap": {"facts": 0.3, "chat": 0.3, "translation": 0.4, "extraction": 0.1, "logic": -0.25},
    "fallback": {"logic": -0.1, "code": 0.1},
}
STEEPNESS = 9.0
VERBOSITY = {"cheap": 70, "reasoning": 260, "fallback": 90}
VISIBLE_SHARE = 0.5
"""Share of the bad answers that a look at the answer gives away."""
CHARS_PER_TOKEN = 4


class SimulatedWorld:
    """Implements `World`; the same for the same count and seed, in every process."""

    def __init__(self, count: int, seed: int) -> None:
        self._prompts = make_prompts(count, seed)
        self._seed = seed

    @cached_property
    def asks(self) -> Sequence[Ask]:
        return [Ask(i, p.text, p.wants_json) for i, p in enumerate(self._prompts)]

    @property
    def profiles(self) -> Mapping[str, Profile]:
        return PROFILES

    def reply(self, arm: str, index: int) -> Reply:
        prompt = self._prompts[index]
        good = chance(self._seed, arm, index, "skill") < skill(arm, prompt)
        text, finish_reason = self._text(arm, index, prompt, good=good)
        words = VERBOSITY[arm] * (0.6 + prompt.difficulty + 0.4 * chance(arm, index, "length"))
        return Reply(
            text=text,
            quality=float(good),
            input_tokens=8 + len(prompt.text) // CHARS_PER_TOKEN,
            output_tokens=int(words) if text else 1,
            finish_reason=finish_reason,
        )

    def reference(self, index: int) -> str:
        return self._prompts[index].solution

    def grade(self, index: int, text: str) -> float:
        prompt = self._prompts[index]
        return float(text == prompt.solution or text.endswith(_ending(prompt.solution)))

    def _text(self, arm: str, index: int, prompt: Prompt, *, good: bool) -> tuple[str, str]:
        if good:
            return (prompt.solution if prompt.wants_json else _said(arm, prompt.solution)), "stop"
        draw = chance(self._seed, arm, index, "weakness")
        if draw > VISIBLE_SHARE:
            return _wrong(arm, prompt), "stop"
        kinds = [("", "stop"), (_refusal(arm), "stop"), (f"{arm}: first, we", "length")]
        if prompt.wants_json:
            kinds.append((prompt.solution[:-1], "stop"))
        return kinds[int(draw / VISIBLE_SHARE * len(kinds))]


def skill(arm: str, prompt: Prompt) -> float:
    """Probability of a right answer: logistic in difficulty."""
    point = BREAKING_POINTS[arm] + TOPIC_SHIFTS.get(arm, {}).get(prompt.topic, 0.0)
    return 0.985 / (1 + math.exp(STEEPNESS * (prompt.difficulty - point)))


def _said(arm: str, solution: str) -> str:
    return f"[{arm}] Here is what I found.{_ending(solution)}"


def _ending(solution: str) -> str:
    return f" The answer is {solution}."


def _wrong(arm: str, prompt: Prompt) -> str:
    if prompt.wants_json:
        return f'{{"guess": "{arm}"}}'
    return f"[{arm}] Here is what I found. The answer is {len(prompt.text)} or so."


def _refusal(arm: str) -> str:
    return f"I'm sorry, but I can't help with that. ({arm})"
