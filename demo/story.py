"""What both runs come to, in words that are the same from run to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from demo.baselines import Score, Utility, always
from demo.client import Sample
from demo.report import ARMS, COLD, score

FIRST = 3
"""The first part of the requests is a third of them."""
BEHIND = 0.01
"""Reward by which a router is behind. Chance, as in the order in which answers arrive, moves the
mean of some hundred requests by less."""

Known = Mapping[int, Mapping[str, tuple[float, float]]]
"""Prompt -> arm -> (quality, cost_usd), also of arms that were not called."""


def story(
    runs: Mapping[str, Sequence[Sample]], known: Known, utility: Utility, taught: Sequence[int]
) -> list[str]:
    """Sentences, the numbers in them of the simulated models alone. taught: prompts of evidence."""
    samples = runs[COLD]
    asked = [known[sample.index] for sample in samples]
    best = max(ARMS, key=lambda arm: always(asked, arm, utility).reward)
    reward = always(asked, best, utility).reward
    first, half = len(samples) // FIRST, len(samples) // 2

    def told(part: slice) -> str:
        single = always(asked[part], best, utility)
        found = [f"{name} {_beside(score(runs[name][part], utility), single)} it" for name in runs]
        return ", ".join(found)

    paid_usd = sum(usd for index in taught for _, usd in known[index].values())
    return [
        f"The best single model is {best}: a reward of {reward:.2f} on these prompts.",
        f"First {first} requests: {told(slice(0, first))}.",
        f"Second half: {told(slice(half, None))}.",
        f"Evidence: {len(taught)} other prompts, asked of every model for {paid_usd:.1f} USD.",
    ]


def _beside(ours: Score, single: Score) -> str:
    return "behind" if ours.reward < single.reward - BEHIND else "not behind"
