"""Agreement: exact for closed answers, bounded for texts that an embedding takes for alike."""

from __future__ import annotations

import json

import pytest

from router.gates.agreement import OPPOSED, agreement, bounded_similarity, compare, spread_labels
from router.gates.closed_answers import closed_answer

PARIS = "The capital of France is Paris."


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
def test_bounded_similarity_is_capped_when_texts_are_opposed(one: str, other: str) -> None:
    assert bounded_similarity(0.97, one, other) == bounded_similarity(0.97, other, one) == OPPOSED
    assert bounded_similarity(0.2, one, other) == 0.2


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
def test_bounded_similarity_is_kept_when_texts_are_paraphrased(one: str, other: str) -> None:
    assert bounded_similarity(0.97, one, other) == bounded_similarity(0.97, other, one) == 0.97


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("The answer is 1,200.", "1200", 1.0),
        ("The answer is 50%.", "The answer is 0.5.", 1.0),
        ("The answer is 3.33.", "The answer is 3.3333.", 1.0),
        ("The answer is 3.3.", "The answer is 3.4.", 0.0),
        ("The answer is 3.", "The answer is 3.3.", 0.0),
        ("The answer is 15.", "The answer is 5.", 0.0),
        ("The answer is 5.", "That makes 5 in all, for 3 people: 5", 1.0),
        ("The answer is 5.", "I cannot tell.", 0.0),
        ("The answer is 5.", "", 0.0),
        ("The answer is B.", "The answer is not B, it is C.", 0.0),
        ("The answer is B.", "Well, (B) fits", 1.0),
        ("The answer is B.", "The answer is 5.", 0.0),
        ('{"b": 2.0, "a": 1}', '```json\n{"a": 1, "b": 2}\n```', 1.0),
        ('{"a": true}', '{"a": 1}', 0.0),
        ("[1, 2]", "[2, 1]", 0.0),
        (r"\boxed{x^2 + 1}", r"\boxed{x^2+1}", 1.0),
        (r"\boxed{x^2 + 1}", r"\boxed{x^2-1}", 0.0),
        (r"\boxed{2x}", r"\boxed{2y}", 0.0),
        ("#### 42 apples", "42", 1.0),
        ("#### 42\nThat was it.", "42", 1.0),
        ("#### Paris", "#### paris.", 1.0),
        ("A fine day.", "A good day.", None),
    ],
)
def test_compare_gives_agreement_in_either_order(
    one: str, other: str, expected: float | None
) -> None:
    assert compare(one, other) == compare(other, one) == expected


def test_agreement_is_none_when_neither_is_closed() -> None:
    five = closed_answer("5")
    assert agreement(five, five) == 1.0
    assert agreement(five, None) == agreement(None, five) == 0.0
    assert agreement(None, None) is None


def test_compare_reads_large_json_whole() -> None:
    value = {str(i): i for i in range(5_000)}
    assert compare(json.dumps(value), json.dumps(value, indent=1)) == 1.0
    assert compare(json.dumps(value), json.dumps({**value, "7": 8})) == 0.0


def test_spread_labels_reaches_equal_answers() -> None:
    five, six = closed_answer("5"), closed_answer("6")
    answers = {"first": five, "second": six, "strong": six}
    assert spread_labels({"strong": 1.0}, answers) == {"strong": 1.0, "first": 0.0, "second": 1.0}
    assert spread_labels({"strong": 0.0}, answers) == {"strong": 0.0, "second": 0.0}
    assert spread_labels({"first": 1.0}, answers) == {"first": 1.0, "second": 0.0, "strong": 0.0}
    assert spread_labels({"first": 0.7}, answers) == {"first": 0.7}
    assert spread_labels({"strong": 1.0}, {"strong": None, "first": five}) == {"strong": 1.0}
    assert spread_labels({"strong": 1.0}, {"strong": five, "first": None}) == {
        "strong": 1.0,
        "first": 0.0,
    }
    assert spread_labels({}, answers) == {}
