"""Evidence kept in sums says what the whole log says."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bandit.errors import BadInput
from bandit.offpolicy import GainTally, LoggedDecisions, Weighed, doubly_robust

NAMES = ("a", "b", "c")
SEEN = Weighed(NAMES[:2], (0.5, 0.5), (0.9, 0.1), (0.0, 0.5), 0, 1.0)


def test_sums_give_the_interval_of_the_whole_log() -> None:
    rng = np.random.default_rng(3)
    n = 500
    logged, wanted = rng.dirichlet(np.ones(3), n), rng.dirichlet(np.ones(3), n)
    logged, wanted = 0.1 + 0.7 * logged, 0.05 + 0.85 * wanted
    logged[::5, 2], wanted[::5, 2] = 0, 0
    logged /= logged.sum(axis=1, keepdims=True)
    wanted /= wanted.sum(axis=1, keepdims=True)
    taken = np.array([rng.choice(3, p=p) for p in logged])
    expected, reward = rng.normal(size=(n, 3)), rng.normal(size=n)
    tally = GainTally()
    for row in range(n):
        keep = 2 if row % 5 == 0 else 3
        parts = (logged[row, :keep], wanted[row, :keep], expected[row, :keep])
        shares = [part.tolist() for part in parts]
        tally.add(Weighed(NAMES[:keep], *shares, int(taken[row]), float(reward[row])))
    whole = doubly_robust(LoggedDecisions(taken, logged, reward), wanted, expected, against=logged)
    interval = tally.interval()
    assert whole.interval is not None
    assert interval is not None
    assert tally.effective == pytest.approx(whole.effective)
    assert tally.gain == pytest.approx(whole.values.mean())
    assert (interval.low, interval.high) == pytest.approx((whole.interval.low, whole.interval.high))


def test_too_little_overlap_gives_no_interval() -> None:
    tally = GainTally()
    for _ in range(100):
        tally.add(replace(SEEN, logged=(0.001, 0.999), wanted=(0.999, 0.001), taken=1))
    assert tally.interval() is None
    assert tally.effective == pytest.approx(0.1, rel=0.01)
    assert GainTally().interval() is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"logged": (0.5,)}, "one share"),
        ({"taken": 2}, "probability 0"),
        ({"logged": (0.0, 1.0)}, "probability 0"),
        ({"reward": math.nan}, "not finite"),
        ({"wanted": (1.5, -0.5)}, "not negative"),
        ({"wanted": (0.5, 0.6)}, "sum to 1"),
        ({"logged": (1.0, 0.0)}, "not eligible"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    wrong: dict[str, object], says: str
) -> None:
    tally = GainTally()
    with pytest.raises(BadInput, match=says):
        tally.add(replace(SEEN, **wrong))  # type: ignore[arg-type]  # one wrong field at a time
    assert tally == GainTally()
