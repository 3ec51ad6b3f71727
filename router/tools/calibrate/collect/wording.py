"""Does an answer say one word, such as a label, yes or true? Merely holding it is not saying it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from router.gates.answer_marks import endings, is_negated, yes_or_no

_TRUTH: Final = frozenset({"true", "false"})
_WORD: Final = re.compile(r"[^\W_]+")
_LONE: Final = re.compile(r"\W{0,8}([^\W_]+)[*_\"')]{0,4}(?:\.(?:\s|$)|:?[*_]{0,4}\s{0,3}(?:\n|$))")
_CLAUSE: Final = re.compile(r"[\s:*_]{0,20}([^\n]*?)(?:[.!?](?:\s|$)|\n|$)")


def says(answer: str, word: str) -> bool:
    """What follows the last mark of an answer decides, else its beginning, else its mentions.

    word: one, in the form of `normal_words`.

    >>> says("Yes. There is no doubt.", "no"), says("It is not Rome, but Oslo.", "oslo")
    (False, True)
    """
    text = unicodedata.normalize("NFKC", answer).casefold()
    if yes_or_no(word):
        return yes_or_no(_verdict(text, truth=word in _TRUTH)) == yes_or_no(word)
    clause = next((_clause(ending) for ending, _ in endings(text)), "")
    if clause:
        return _mentions(clause, word)
    alone = _LONE.match(text)
    return alone[1] == word if alone else _mentions(text, word)


def _clause(ending: str) -> str:
    found = _CLAUSE.match(ending)
    return found[1] if found else ""


def _mentions(text: str, word: str) -> bool:
    found = re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text)
    return any(not is_negated(text, mention.start()) for mention in found)


def _verdict(text: str, *, truth: bool) -> str:
    """The yes or no, or with `truth` the true or false, that a text settles on; "" for none."""
    for ending, _ in endings(text):
        said = next(_verdicts(ending, truth=truth), "")
        if said:
            return said
    every = list(_verdicts(text, truth=truth))
    first = next((w[0] for w in _WORD.finditer(text)), "")
    if first in every[:1] or not every:
        return first if (first in _TRUTH) == truth else ""
    return every[-1]


def _verdicts(text: str, *, truth: bool) -> Iterator[str]:
    """In their order; the "no" of "no doubt" is none."""
    for found in _WORD.finditer(text):
        word, rest = found[0], text[found.end() : found.end() + 2]
        if not yes_or_no(f"{word}.") or (word in _TRUTH) != truth:
            continue
        if (truth or not re.match(r"\s\w", rest)) and not is_negated(text, found.start()):
            yield word
