"""Words of prompts."""

from __future__ import annotations

import pytest

from router.runtime.terms import MAX_CHARS, MOST_TERMS, terms_of, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("What is it?", []),
        ("Fractions, FRACTIONS; fractions!", ["fractions"] * 3),
        ("call me at 555-1234 or a@b.co", ["call"]),
        ("sk3cretkey x2y abc123 user_name", ["user", "name"]),
        ("a" * 21 + " " + "b" * 20, ["b" * 20]),
        ("Größe der Häuser", ["grösse", "häuser"]),
        ("积分是什么", ["积分是什么"]),
    ],
)
def test_words_are_whole_and_of_letters_only(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_a_prompt_gives_a_bounded_number_of_terms() -> None:
    text = " ".join(f"{a}{b}word" for a in "abcdefgh" for b in "ijklmnop")
    assert len(terms_of(text)) == MOST_TERMS
    assert terms_of(text) == terms_of(text)
    assert set(terms_of(text)) <= set(words(text))


def test_every_word_of_long_prompts_has_its_turn() -> None:
    """Prompts of one template: no word is left out of all of them, and none is in all of them."""
    template = [f"{a}{b}word" for a in "abcde" for b in "fghij"]
    drawn = [terms_of(" ".join([*template, f"tail{n}"])) for n in range(200)]
    counts = {word: sum(word in terms for terms in drawn) for word in template}
    assert min(counts.values()) > 200 * MOST_TERMS / len(template) * 0.6
    assert max(counts.values()) < 200


def test_a_million_characters_are_read_at_their_ends_only() -> None:
    text = "begin " + "x y " * 300_000 + " ending"
    assert set(words(text)) == {"begin", "ending"}
    assert len(words("word " * 300_000)) <= MAX_CHARS // 5 + 2


def test_what_is_no_text_of_unicode_does_no_harm() -> None:
    assert terms_of("\ud800 lonely surrogate \x00") == ("lonely", "surrogate")
    many = "\ud800" + " ".join(f"{c}{d}lone" for c in "abcd" for d in "efgh")
    assert len(terms_of(many)) == MOST_TERMS
