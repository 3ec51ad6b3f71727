"""Settings out of their range are refused."""

from __future__ import annotations

import pytest

from bandit import PolicySettings, Units, Weights
from bandit.errors import BadSettings, BadWeights


@pytest.mark.parametrize(
    "bad",
    [
        {"floor": 0.0},
        {"floor": 0.9},
        {"draws": 0},
        {"scale": 0.0},
        {"scale": float("nan")},
        {"initial_pulls": -1},
        {"replay": 0},
        {"units": Units(cost_usd=0.0)},
        {"units": Units(cost_usd=1.0, latency_ms=float("inf"))},
        {"vw": frozenset({"beauty"})},
    ],
)
def test_settings_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(BadSettings):
        PolicySettings(**bad)  # type: ignore[arg-type]  # wrong on purpose


def test_weights_out_of_range_are_refused() -> None:
    with pytest.raises(BadWeights):
        PolicySettings(weights=Weights(quality=-1.0))
