"""Heads expect together what each of them expects alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from streams import SETTINGS, VERSION, actions, context, outcome

from bandit import Weights
from bandit.adaptive.outcome_heads import LATENCY_PRIOR_MS, OutcomeHeads
from bandit.context.view import ContextViewer
from bandit.policies.snapshot_policy import PolicyQuery

ADVISED = frozenset({"quality", "cost", "latency", "failure"})
SLOTS = 3


def taught(viewer: ContextViewer, heads: frozenset[str], applications: int) -> OutcomeHeads:
    """Heads that learned of three actions, each with its own latency and share of failures."""
    made = OutcomeHeads(replace(SETTINGS, vw=heads), viewer.write)
    for part in made.parts().values():
        part.grow(SLOTS)
    rng = np.random.default_rng(0)
    for step in range(300):
        slot, kind = int(rng.integers(SLOTS)), step % 4
        asks = 1 + step % applications if applications else 0
        seen = replace(context(rng, kind), application=asks)
        known = replace(
            outcome(actions(SLOTS)[slot], seen, float(rng.random())),
            latency_ms=100.0 * (1 + slot) * (1 + kind) * (1 + asks),
            failed=bool(rng.random() < 0.3 * slot + 0.1 * asks),
        )
        made.learn(known, viewer.view(seen), slot)
    return made


@pytest.mark.parametrize("applications", [0, 3])
@pytest.mark.parametrize("heads", [frozenset[str](), ADVISED])
def test_heads_expect_together_what_each_expects(heads: frozenset[str], applications: int) -> None:
    viewer = ContextViewer(SETTINGS.shape, VERSION)
    made, rng = taught(viewer, heads, applications), np.random.default_rng(1)
    rows, eligible = np.array([2, -1, 0]), actions(3)
    for _ in range(5):
        view = viewer.view(replace(context(rng), application=min(applications, 2)))
        found = made.expect(PolicyQuery.of(view, eligible, rows, Weights()))
        latency_ms = made.latency.mean(view, rows, LATENCY_PRIOR_MS)
        failure = made.failure.mean(view, rows, made.failure.advice(view, rows))
        assert found.latency_ms == pytest.approx(latency_ms.tolist())
        assert found.failure == pytest.approx(failure.tolist())
        assert len(set(found.latency_ms)) == SLOTS
