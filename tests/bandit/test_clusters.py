"""Which cluster is which, after a refit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from test_context import embeddings, facts

from bandit import ContextMap
from bandit.context.fitting import fit
from bandit.context.layout import assignment, renumbered
from bandit.errors import BadInput


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("whole", [False, True], ids=["real", "ties"])
def test_no_other_assignment_is_cheaper(n: int, whole: bool) -> None:  # noqa: FBT001 - a parameter
    rng = np.random.default_rng(n)
    for _ in range(20):
        costs = rng.integers(0, 4, (n, n)).astype(float) if whole else rng.normal(size=(n, n))
        found = assignment(costs)
        least = min(costs[range(n), order].sum() for order in itertools.permutations(range(n)))
        assert sorted(found.tolist()) == list(range(n))
        assert costs[range(n), found].sum() == pytest.approx(least)


@pytest.mark.parametrize("costs", [np.zeros((2, 3)), np.zeros(4), np.full((2, 2), np.nan)])
def test_what_is_no_square_of_numbers_is_refused(costs: np.ndarray) -> None:
    with pytest.raises(BadInput):
        assignment(costs)


def test_a_shuffled_map_gets_its_order_back() -> None:
    made = fit(embeddings(400), facts(400), seed=1)
    order = np.random.default_rng(0).permutation(len(made.centroids))
    shuffled = ContextMap.of(
        {
            "centroids": made.centroids[order],
            "centre": made.centre,
            "axes": made.axes,
            "feature_means": made.feature_means,
            "feature_scales": made.feature_scales,
        }
    )
    assert shuffled.version != made.version
    assert renumbered(shuffled, made).version == made.version


def test_maps_of_other_embeddings_are_left_as_they_are() -> None:
    made = fit(embeddings(400), facts(400))
    wider = fit(embeddings(400, width=64), facts(400))
    assert renumbered(made, wider) is made
