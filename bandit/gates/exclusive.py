"""What the label of one of two closed answers says of the other."""

from __future__ import annotations

from typing import Final

from bandit.gates.types import GateExample
from bandit.types import Vector

_LEAST: Final = 0.01


def shared(lesson: GateExample, chances: Vector) -> tuple[float | None, float | None]:
    """Labels of the first and the second answer, each from the other's where it has none.

    chances: P(first ok), P(second ok), ... as believed now. Equal answers share their label. Of two
    that differ at most one is right: with label l of the one, the other has
    (1 - l) P(other) / (1 - P(one)), the expectation step of the mixture. To say of it only that it
    is wrong where the one is right, and nothing where that is wrong, would teach that it is always
    wrong.
    """
    first, second = lesson.first_ok, lesson.second_ok
    agreement = lesson.seen.agreement
    if agreement not in (0.0, 1.0):  # not closed: they may both be right
        return first, second
    same, (p_first, p_second) = agreement == 1.0, chances[:2].tolist()
    if first is None and second is not None:
        return _other(second, p_second, p_first, same=same), second
    if second is None and first is not None:
        return first, _other(first, p_first, p_second, same=same)
    return first, second


def _other(label: float, p_one: float, p_other: float, *, same: bool) -> float:
    if same:
        return label
    return (1 - label) * min(1.0, p_other / max(1 - p_one, _LEAST))
