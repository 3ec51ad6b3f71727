"""The ring of the last outcomes: what it keeps, saves and refuses."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bandit.models.ring_buffer import OutcomeBuffer, RingBuffer


def test_outcome_buffer_keeps_picks_and_restores_the_last_outcomes() -> None:
    buffer = OutcomeBuffer(width=1, capacity=3)
    for j in range(5):
        buffer.add(np.array([float(j)]), j % 4, j / 10, 1.0)
    assert len(buffer) == 3
    assert buffer.known == [0, 2, 3]
    twin = OutcomeBuffer(width=1, capacity=3)
    twin.restore(buffer.arrays(), slots=4)
    assert twin.known == buffer.known
    assert buffer.pick() == twin.pick()
    with pytest.raises(ValueError, match="range"):
        twin.restore(buffer.arrays(), slots=3)


def test_outcome_buffer_picks_each_outcome_about_as_often_as_any_other() -> None:
    buffer, picked = OutcomeBuffer(width=1, capacity=10), Counter[float]()
    for j in range(1_000):
        buffer.add(np.array([0.0]), 0, j % 10 / 10, 1.0)
        picked[buffer.pick()[2]] += 1
    assert len(picked) == 10
    assert max(picked.values()) <= 1.2 * min(picked.values())


def filled(capacity: int, count: int) -> OutcomeBuffer:
    memory = OutcomeBuffer(2, capacity)
    for j in range(count):
        memory.add(np.array([j, -j], dtype=np.float64), j % 3, float(j), 1.0)
    return memory


def test_outcome_buffer_beyond_its_capacity_keeps_the_last_outcomes() -> None:
    memory = filled(5, 12)
    assert sorted(memory.targets[:, 0]) == [7, 8, 9, 10, 11]
    assert len(memory.x) == len(memory.slots) == 5
    place = memory.targets[:, 0].tolist().index(9.0)
    assert (memory.x[place] == [9, -9]).all()
    assert memory.slots[place] == 0


@pytest.mark.parametrize("count", [3, 5, 12])
@pytest.mark.parametrize("capacity", [2, 5, 9])
def test_outcome_buffer_restored_at_any_capacity_goes_on_with_the_last_outcomes(
    capacity: int, count: int
) -> None:
    memory = filled(5, count)
    again = OutcomeBuffer(2, capacity)
    again.restore(memory.arrays(), 3)
    held = list(range(count))[-5:][-capacity:]
    assert sorted(again.targets[:, 0]) == held
    again.add(np.zeros(2), 0, 99.0, 1.0)
    assert sorted(again.targets[:, 0]) == ([*held, 99])[-capacity:]


@pytest.mark.parametrize(
    ("name", "value"), [("added", [1.0]), ("slots", [0, 1, 3]), ("slots", [0, -1, 2])]
)
def test_outcome_buffer_refuses_senseless_counts_and_slots(name: str, value: list[float]) -> None:
    arrays = filled(5, 3).arrays()
    broken = np.array(value, dtype=arrays[name].dtype)
    with pytest.raises(ValueError, match="range"):
        OutcomeBuffer(2, 5).restore({**arrays, name: broken}, 3)


def test_ring_buffer_hands_on_the_oldest_rows_first() -> None:
    buffer = RingBuffer(1, 1, 3)
    column = np.arange(5.0)[:, None]
    gone, told = buffer.extend(column[:2], column[:2])
    assert len(gone) == len(told) == 0
    gone, told = buffer.extend(column[2:], 10 * column[2:])
    assert gone.ravel().tolist() == [0.0, 1.0]
    assert told.ravel().tolist() == [0.0, 1.0]
    assert buffer.oldest_first()[0].ravel().tolist() == [2.0, 3.0, 4.0]
    smaller = RingBuffer(1, 1, 2)
    smaller.restore(buffer.arrays(), 1)
    assert smaller.oldest_first()[1].ravel().tolist() == [30.0, 40.0]


def test_outcome_buffer_refuses_a_count_without_rows() -> None:
    empty = OutcomeBuffer(2, 5).arrays()
    with pytest.raises(ValueError, match="range"):
        OutcomeBuffer(2, 5).restore({**empty, "added": np.array([97.0])}, 3)
