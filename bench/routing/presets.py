"""What policies that need telling are told in a replay: plain guesses, the same for every stream.

`--set` overrides them. They are written down here and fitted to no data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

LONG_CHARACTERS: Final = 300
"""Where the second cheapest arm begins in `length`; every further arm another 300 on."""

EASY: Final = (
    "What is the capital of Norway?",
    "Translate 'good morning' to Spanish.",
    "Which planet is closest to the sun?",
    "Is it warmer in summer or in winter?",
    "Complete the sentence: she opened the umbrella because",
)
HARD: Final = (
    "Prove that there are infinitely many prime numbers.",
    "A train leaves at noon at 80 km/h, another an hour later at 110 km/h. When do they meet?",
    "Write a function that returns the longest common subsequence of two strings.",
    "A patient has fever, joint pain and a new murmur. Which diagnosis is the most likely?",
    "Which statute of limitations applies when a contract is breached in two states?",
)


def preset(policy: str, arms: Sequence[str]) -> dict[str, Any]:
    """Of the config's `policy` section; arms: from the cheapest to the dearest."""
    cheap, dear = arms[0], arms[-1]
    if policy == "length":
        tiers = [{"plan": a, "min_characters": i * LONG_CHARACTERS} for i, a in enumerate(arms)]
        return {"length": tiers}
    if policy == "rules":
        rules = [{"plan": dear, "when": {key: True}} for key in ("code", "math")]
        return {"rules": rules, "default_plan": cheap}
    if policy == "intent":
        examples = {cheap: EASY, dear: HARD} if cheap != dear else {cheap: EASY}
        return {"intent": {"examples": examples}, "default_plan": cheap}
    return {}
