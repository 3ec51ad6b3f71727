"""Sentences that sum both runs up, in words that are the same from run to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from demo.baselines import Utility, always
from demo.client import Sample
from demo.report import ARMS, COLD, TAUGHT, score

FIRST = 3
"""The first part of the requests is a third of them."""
BEHIND, AHEAD = 0.02, 0.01
"""Reward by which a router is behind a model, and ahead of the other router. Chance moves the mean
of a hundred requests or more by less: what both begin with moves it by .05."""

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
    early, late = slice(0, len(samples) // FIRST), slice(len(samples) // 2, None)

    def earned(name: str, part: slice) -> float:
        return score(runs[name][part], utility).reward

    def beside_best(part: slice) -> str:
        behind = earned(TAUGHT, part) < always(asked[part], best, utility).reward - BEHIND
        return "behind" if behind else "not behind"

    more = "more" if earned(TAUGHT, early) > earned(COLD, early) + AHEAD else "no more"
    paid_usd = sum(usd for index in taught for _, usd in known[index].values())
    return [
        f"The best single model is {best}: a reward of {reward:.2f} on these prompts.",
        (
            f"First {early.stop} requests: {TAUGHT} the router earns {more} than {COLD}, and is "
            f"{beside_best(early)} that model."
        ),
        f"Second half: {TAUGHT} it is {beside_best(late)} that model.",
        f"Evidence: {len(taught)} other prompts, asked of every model for {paid_usd:.1f} USD.",
    ]
