"""Answers are compared by what they settle on, whatever the words around it."""

from __future__ import annotations

import pytest

from router.gates.agreement import compare
from router.gates.closed_answers import (
    MAX_CHARS,
    AnswerKind,
    ClosedAnswer,
    asked_kind,
    closed_answer,
    final_choice,
    final_number,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The answer is 42.", 42),
        ("The answer is 1,200 dollars.", 1200),
        ("answer: $1,234,567.89", 1_234_567.89),
        ("**Answer:** -5", -5),
        ("The answer is -$5.", -5),
        ("The answer is \u22125.", -5),
        ("#### 7", 7),
        (r"So \boxed{12}.", 12),
        (r"So \boxed{\frac{3}{4}}.", 0.75),
        (r"So \boxed{\text{1{,}200}}", 1200),
        (r"So \boxed{50\%}", 50),
        ("The answer is 1/2.", 0.5),
        ("The answer is 2 1/2 cups.", 2.5),
        ("The answer is 3 \u00d7 10^8 m/s.", 3e8),
        ("The answer is 3.0e8.", 3e8),
        ("The answer is 1.234,50 \u20ac.", 1234.5),
        ("Answer: 1\u202f200", 1200),
        ("Die Antwort lautet 12.", 12),
        ("La respuesta es 12.", 12),
        ("La r\u00e9ponse est 12", 12),
        ("\u7b54\u6848\u662f 12\u3002", 12),
        ("\u041e\u0442\u0432\u0435\u0442: 12", 12),
        ("The answer is \u0661\u0662.", 12),
        ('{"reasoning": "3 + 4", "answer": "7"}', 7),
        ('```json\n{"reasoning": "a\nb", "answer": 7.0}\n```', 7),
        ('{"answer": "7 apples"}', 7),
        ('{"reasoning": "broken, "answer": "7"', 7),
        ("The answer is not 7 but 8.", 8),
        ("The answer isn't 7. The answer is 8.", 8),
        ("First the answer is 3. Wait. The answer is 4.", 4),
        ("42", 42),
        ("  $42.00 ", 42),
    ],
)
def test_closed_answer_finds_a_number(text: str, value: float) -> None:
    found = closed_answer(text)
    assert found
    assert found.kind is AnswerKind.NUMBER
    assert found.number
    assert found.number.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("**(B)**", "B"),
        ("B) Paris", "B"),
        ("The answer is (B), since A is wrong.", "B"),
        ("The answer is not B but C.", "C"),
        ("The answer isn't (B); it is (C).", "C"),
        ("The answer is neither A nor B, it is D", "D"),
        ("The answer is C, not B.", "C"),
        ("The correct answer is: C. Paris", "C"),
        (r"\boxed{C}", "C"),
        ('{"answer": "C"}', "C"),
    ],
)
def test_closed_answer_finds_a_choice(text: str, letter: str) -> None:
    assert closed_answer(text) == ClosedAnswer(AnswerKind.CHOICE, letter)


@pytest.mark.parametrize(
    ("text", "asked", "said"),
    [
        ("So they pay 12 for 3, thus 4 each", AnswerKind.NUMBER, "4"),
        ("So they pay 12, not 4", AnswerKind.NUMBER, "12"),
        ("A is tempting, but I think C fits", AnswerKind.CHOICE, "C"),
        ("Yes, because " + "it is so. " * 100, AnswerKind.YES_NO, "yes"),
    ],
)
def test_closed_answer_is_unmarked_only_when_asked_for(
    text: str, asked: AnswerKind, said: str
) -> None:
    assert closed_answer(text) is None
    found = closed_answer(text, asked)
    assert found
    assert (found.kind, found.text) == (asked, said)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Yes.", "yes"),
        ("**No**, it is not.", "no"),
        ("The answer is no.", "no"),
        ("Nein.", "no"),
        ("S\u00ed, claro.", "yes"),
        ("\u662f\u3002", "yes"),
        ("True", "yes"),
        ('{"answer": false}', "no"),
    ],
)
def test_closed_answer_finds_yes_and_no(text: str, word: str) -> None:
    assert closed_answer(text) == ClosedAnswer(AnswerKind.YES_NO, word)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "Rome was founded in 753 BC and fell in 476.",
        "A dog and I went for a walk.",
        "No problem! Here is a poem about rain.",
        "Yes, " + "and so on " * 100,
        "It is what it is.",
        "\u4eca\u5929\u5929\u6c14\u5f88\u597d",
        "null",
    ],
)
def test_closed_answer_is_none_when_text_is_open(text: str) -> None:
    assert closed_answer(text) is None


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("Janet has 3 eggs. How many are left?", AnswerKind.NUMBER),
        ("Which? A) x B) y C) z", AnswerKind.CHOICE),
        ("Pick one:\nA. x\nB. y\nC. z", AnswerKind.CHOICE),
        ("Is Pluto a planet?", AnswerKind.YES_NO),
        ("Write a poem.", None),
        ("", None),
    ],
)
def test_asked_kind_follows_the_prompt(prompt: str, kind: AnswerKind | None) -> None:
    assert asked_kind(prompt) is kind
    assert asked_kind(prompt, wants_json=True) is AnswerKind.JSON


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 50_000,
        "answer is " * 100_000,
        "answer" + " " * 1_000_000,
        "1" * 1_000_000,
        "1," * 500_000,
        "1 " * 500_000,
        "\\boxed{" * 100_000,
        "```\n" * 250_000,
        "\\frac{" * 100_000,
        "not " * 250_000 + "B",
        "9" * 5_000,
        "[" + "9" * 5_000 + "]",
        "\ud800 lone surrogate \x00",
        "(" * 1_000_000,
    ],
)
def test_closed_answer_survives_absurd_text(text: str) -> None:
    found = closed_answer(text, AnswerKind.NUMBER)
    compare(text, text, AnswerKind.CHOICE)
    assert found is None or len(found.text) < MAX_CHARS


def test_closed_answer_reads_the_end_when_text_is_long() -> None:
    assert closed_answer("The answer is 3. " + "x" * MAX_CHARS) is None
    found = closed_answer("x" * 1_000_000 + " The answer is 3.")
    assert found
    assert found.text == "3"


def test_final_number_and_choice_read_references() -> None:
    number = final_number("5 and 6, not 7")
    assert number
    assert number.value == 6
    assert final_number("none") is None
    assert final_choice("neither") == ""
    assert final_choice("(D)") == "D"
