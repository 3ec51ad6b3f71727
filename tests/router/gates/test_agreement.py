"""Short texts that an embedding takes for alike."""

from __future__ import annotations

import doctest

import pytest

from router.gates.agreement import OPPOSED, bounded

PARIS = "The capital of France is Paris."


def test_the_examples_hold() -> None:
    found = doctest.testmod(opposed)
    assert (found.attempted, found.failed) == (2, 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PARIS, "Paris is not the capital; the capital is Lyon."),
        (PARIS, "The capital of France is Lyon."),
        ("Lyon is the capital.", "Paris is the capital."),
        ("It was written in 1851.", "It was written in 1871."),
        ("You can return the shirt.", "You can't return the shirt."),
        ("Das ist erlaubt.", "Das ist nicht erlaubt."),
        (
            "\u042d\u0442\u043e \u0442\u0430\u043a.",
            "\u042d\u0442\u043e \u043d\u0435 \u0442\u0430\u043a.",
        ),
    ],
)
def test_what_is_opposed_hardly_agrees(one: str, other: str) -> None:
    assert bounded(0.97, one, other) == bounded(0.97, other, one) == OPPOSED
    assert bounded(0.2, one, other) == 0.2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PARIS, "It is Paris, the largest city of France."),
        (PARIS, "Paris."),
        ("Rivers carry water.", "Water is carried by rivers."),
        ("Use a dictionary.", "Try a dictionary."),
        ("You can't return it.", "It is not possible to return it."),
        ("It isn't impossible: never say never.", "It isn't possible."),
        ("", PARIS),
        ("The same. " * 50 + "Lyon.", "The same. " * 50 + "Paris is not it."),
    ],
)
def test_other_words_for_the_same_are_left_alone(one: str, other: str) -> None:
    assert bounded(0.97, one, other) == bounded(0.97, other, one) == 0.97
