"""One answer serves two prompts only where they ask the same; a labelled set says which do."""

from __future__ import annotations

import time
from functools import cache

import pytest

from router.domain.canonical import MOST_CHARS, canonical
from tests.pairs.make import Pair, different, groups, same

SAME, DIFFERENT = same(), different()
KINDS = tuple(dict.fromkeys(pair.kind for pair in DIFFERENT))
LANGUAGES = tuple(dict.fromkeys(pair.kind for pair in SAME))
POLITE = (
    *("Please {}", "please {}", "Hi, {}", "{}, please", "{} Thanks!", "Tell me {}", "I wonder {}"),
    *("Can you tell me {}", "Could you please {}", "Can you {}", "Do you know {}", "Bitte {}"),
    *("Kannst du mir sagen, {}", "Peux-tu me dire {}", "Dime {}", "Por favor, {}", "Puoi dirmi {}"),
    *("Скажи, пожалуйста, {}", "من فضلك، {}", "कृपया {}", "请问{}", "请{}", "{}ください", "{}ครับ"),
)
LEAST_SHARE = 0.75
LEAST_SHARE_OF_A_LANGUAGE = 0.4


form = cache(canonical)


def shares_form(pair: Pair) -> bool:
    return form(pair.one) is not None and form(pair.one) == form(pair.other)


def test_the_set_is_large_and_of_many_languages() -> None:
    assert len(SAME) >= 400
    assert len(DIFFERENT) >= 1_500
    assert len(LANGUAGES) >= 20
    assert len(KINDS) >= 30


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_that_ask_something_else_share_no_form(kind: str) -> None:
    assert [p for p in DIFFERENT if p.kind == kind and shares_form(p)] == []


@pytest.mark.parametrize("polite", POLITE)
def test_politeness_makes_no_two_of_them_alike(polite: str) -> None:
    wrong = [
        pair
        for pair in DIFFERENT
        for one, other in ((pair.one, pair.other), (pair.other, pair.one))
        for text in (polite.format(one), polite.format(one[:1].lower() + one[1:]))
        if text != other and shares_form(Pair(pair.kind, text, other))
    ]
    assert wrong == []


def test_prompts_of_different_groups_share_no_form() -> None:
    owners = dict[str, str]()
    for first, *wordings in groups():
        for prompt in (first, *wordings):
            shared = form(prompt)
            assert shared is None or owners.setdefault(shared, first) == first, prompt


def test_most_wordings_of_the_same_share_a_form() -> None:
    assert sum(map(shares_form, SAME)) / len(SAME) >= LEAST_SHARE


@pytest.mark.parametrize("language", LANGUAGES)
def test_wordings_of_each_language_share_forms(language: str) -> None:
    pairs = [pair for pair in SAME if pair.kind == language]
    assert sum(map(shares_form, pairs)) / len(pairs) >= LEAST_SHARE_OF_A_LANGUAGE


@pytest.mark.parametrize(
    "text",
    [
        "",
        " What is it?",
        "What is it?\nBe brief.",
        "What  is it?",
        "What is `x`?",
        "what " * (MOST_CHARS // 5 + 1),
    ],
)
def test_a_prompt_whose_wording_is_its_meaning_has_no_form(text: str) -> None:
    assert canonical(text) is None


def test_the_form_of_a_form_is_itself() -> None:
    for pair in SAME:
        shared = form(pair.one)
        assert shared is not None
        assert form(shared) == shared


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "a ",
            "what is ",
            "tell me what ",
            "explain why as ",
            "please ",
            "? ",
            "Explain ab ",
            '"',
        ),
        *(
            "什么",
            "你能告诉我什么",
            "について",
            "説明して",
            "설명",
            "क्या ",
            "là gì ",
            "نعم ",
            "อะไร",
            "wie ein ",
        ),
        *("in simple terms, explain a ", "“a” ", "\u2019s", "e\u0301", "how to "),
    ],
)
def test_a_long_prompt_is_read_in_milliseconds(unit: str) -> None:
    text = (unit * MOST_CHARS)[:MOST_CHARS].rstrip()
    began = time.process_time()
    for _ in range(10):
        canonical(text)
    assert time.process_time() - began < 0.5
