"""The demo's last sentences follow what happened, and no small change of it moves them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from demo.baselines import Utility
from demo.client import Sample
from demo.report import COLD, TAUGHT
from demo.story import BEHIND, FIRST, story

COUNT, TAUGHT_COUNT = 300, 150
UTILITY = Utility(0.1, 0.004)
KNOWN: Mapping[int, Mapping[str, tuple[float, float]]] = {
    index: {"cheap": (0.6, 0.0001), "reasoning": (0.98, 0.0032), "fallback": (0.7, 0.0004)}
    for index in range(COUNT + TAUGHT_COUNT)
}
SINGLE = 0.98 - 0.1 * 0.0032 / 0.004
LESSONS = range(COUNT, COUNT + TAUGHT_COUNT)


def run(early: float, late: float, noise: float = 0.0, seed: int = 0) -> list[Sample]:
    """early, late: rewards above the best single model's, in the two halves."""
    rng = np.random.default_rng(seed)
    rewards = SINGLE + np.repeat([early, late], COUNT // 2) + noise * rng.normal(size=COUNT)
    return [Sample(i, 200.0, "reasoning", float(reward)) for i, reward in enumerate(rewards)]


def told(cold: list[Sample], taught: list[Sample]) -> list[str]:
    return story({COLD: cold, TAUGHT: taught}, KNOWN, UTILITY, LESSONS)


def test_it_tells_who_was_behind_and_when() -> None:
    single, first, second, evidence = told(run(-0.03, 0.01), run(0.02, -0.03))
    assert single == "The best single model is reasoning: a reward of 0.90 on these prompts."
    assert first == (
        "First 100 requests: with evidence the router earns more than from nothing, and is not "
        "behind that model."
    )
    assert second == "Second half: with evidence it is behind that model."
    assert evidence == "Evidence: 150 other prompts, asked of every model for 0.6 USD."


def test_it_tells_of_evidence_that_was_worth_nothing() -> None:
    _, first, second, _ = told(run(0.0, -0.03), run(-0.03, 0.0))
    assert "earns no more than from nothing, and is behind that model" in first
    assert second == "Second half: with evidence it is not behind that model."


@pytest.mark.parametrize("seed", range(5))
def test_chance_does_not_move_it(seed: int) -> None:
    """The noise of a mean of a hundred requests is a third of what a router is behind by."""
    noise = BEHIND / 3 * (COUNT / FIRST) ** 0.5
    steady = told(run(-0.03, 0.01), run(0.02, 0.02))
    assert told(run(-0.03, 0.01, noise, seed), run(0.02, 0.02, noise, seed + 9)) == steady
