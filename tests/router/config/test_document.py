"""Reading YAML: lines, limits, and files that are no config."""

from __future__ import annotations

import pytest

from router.config.document import MAX_CHARS, MAX_DEPTH, Unreadable, read_document


def test_every_value_knows_the_line_of_its_key() -> None:
    document = read_document("a:\n  b: 1\n  c:\n    - x\n    - y\n")
    assert document.value == {"a": {"b": 1, "c": ["x", "y"]}}
    assert document.line(("a", "b")) == 2
    assert document.line(("a", "c", 1)) == 5
    assert document.line(("a", "c", 9, "missing")) == 3


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert read_document("# nothing\n").value == {}


def test_an_alias_stands_for_the_whole_value() -> None:
    document = read_document("a: &p {x: 1}\nb: *p\n")
    assert document.value == {"a": {"x": 1}, "b": {"x": 1}}


def test_keys_written_twice_and_merges_are_mistakes() -> None:
    document = read_document("a: {x: 1, x: 2}\np: &p {}\nb:\n  <<: *p\n")
    assert set(document.mistakes) == {("a", "x"), ("b", "<<")}
    assert document.mistakes[("a", "x")] == "write this key once"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: [\n", 3, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
        ("a: \x07", 1, "printable"),
        ("a: 1\nb: !secret x\n", 2, "plain value"),
        ("a: !!python/object/apply:os.getcwd []\nb: !!int x\n", 2, "plain value"),
        ("a: 2024-13-45\n", 1, "plain value"),
        ("? [x, y]\n: 1\n", 1, "plain text as a key"),
        ("a: 1\n--- \nb: 2\n", 2, "not valid YAML"),
        ("x" * (MAX_CHARS + 1), 1, "at most"),
        ("[" * 5_000, 1, "nest at most"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), 1, "nest at most"),
        ("a: &a [*a]\n", 1, "nest at most"),
    ],
)
def test_what_can_not_be_read_names_line_and_fix(text: str, line: int, words: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_document(text)
    assert caught.value.line == line
    assert words in caught.value.fix


def test_aliases_can_not_unfold_into_something_huge() -> None:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 9)]
    bomb = "\n".join(["l0: &l0 [x]", *levels])
    with pytest.raises(Unreadable, match="at most"):
        read_document(bomb)
