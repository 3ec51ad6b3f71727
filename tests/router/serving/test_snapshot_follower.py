"""How long what serves has been behind."""

from __future__ import annotations

from router.serving.snapshot_follower import MOST, LagTracker


def test_lag_runs_from_the_first_missing_event() -> None:
    seen = LagTracker()
    assert seen.behind_s(100.0, 0) == 0.0
    seen.add(100.0, 5)
    seen.add(101.0, 5)
    seen.add(102.0, 8)
    assert seen.behind_s(103.0, 3) == 3.0
    assert seen.behind_s(103.0, 5) == 1.0
    assert seen.behind_s(103.0, 8) == 0.0
    seen.add(500.0, 9)
    assert seen.behind_s(500.5, 8) == 0.5


def test_lag_tracker_is_bounded_when_it_never_catches_up() -> None:
    seen = LagTracker()
    for n in range(10 * MOST):
        seen.add(float(n), n + 1)
    assert seen.behind_s(10.0 * MOST, 0) == 10.0 * MOST
    assert abs(seen.behind_s(10.0 * MOST, 5 * MOST) - 5 * MOST) <= 32
    assert len(seen._seen) <= MOST  # noqa: SLF001 - the bound is what is tested
