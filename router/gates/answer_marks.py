"""Finds where in a text its closed answer stands: marks, negations, letters, yes and no."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from router.gates.lexicon import NO, YES

MAX_ENDING_CHARS: Final = 300
MAX_MARKS: Final = 8
NEGATION_CHARS: Final = 40

# By a word that must be there: looking for that first is many times faster. The languages are
# German, French, Spanish, Portuguese, Italian, Dutch, Russian, then Chinese, Japanese, Korean.
_ELSEWHERE: Final = (
    *("antwort", "r\u00e9ponse", "respuesta", "resposta", "risposta", "antwoord"),
    "\u043e\u0442\u0432\u0435\u0442",
)
_CJK: Final = ("\u7b54\u6848", "\u7b54\u3048", "\uc815\ub2f5")
_IS: Final = r"\b.{0,20}?(?::|\b(?:ist|lautet|est|es|\u00e9|\u00e8|is)\b)"
_MARKS: Final = {
    "####": re.compile("####"),
    "boxed": re.compile(r"\\boxed\s?\{"),
    "answer": re.compile(r"answer(?:\s{0,3}(?:is(?=\b|n['\u2019]t)|:|=)|\b.{0,20}?:)"),
    **{word: re.compile(word + _IS) for word in _ELSEWHERE},
    **{word: re.compile(word) for word in _CJK},
}
_EXACT: Final = ("####", "\\boxed")
_NEGATED: Final = re.compile(
    r"(?:\bnot|n['\u2019]t|\bnever|\bneither|\bnor|\brather than|\binstead of"
    r"|\bnicht|\bpas|\bn\u00e3o|\bkeine?)\W{1,4}(?:(?:be|option|choice|equal|to|simply|just|the|necessarily)\W{1,4}){0,3}$",
    re.IGNORECASE,
)
_WHOLE_LETTER: Final = re.compile(r"\(?([A-Z])[).:]?", re.ASCII)
_LEADING_LETTER: Final = re.compile(r"\(?([A-J])[).:](?:\s|$)")
# "A dog" and "I think" are words; "A is right" is a choice.
_LETTER: Final = re.compile(
    r"(?<![\w'\u2019])(?:\(([A-J])\)|([B-HJ])|(A)(?! (?!is\b|and\b|or\b|was\b)[a-z])"
    r"|(I)(?=[).:]|$))(?![\w'\u2019])"
)
_LEADING_WORD: Final = re.compile(
    r"[\s*_\"']{0,8}([^\W\d_]{1,6})[*_\"']{0,4}(?=[.,;:!\u3002\uff0c\n]|$)"
)


def endings(text: str) -> Iterator[tuple[str, bool]]:
    """Yields the text behind each mark of a final answer, last first, and if the mark is exact."""
    for end, mark in _marks(text):
        ending, exact = text[end : end + MAX_ENDING_CHARS], mark.startswith(_EXACT)
        yield (_boxed(ending) if mark.endswith("{") else ending), exact


def _marks(text: str) -> list[tuple[int, str]]:
    """Returns where the last marks end, and what they are; the last first."""
    lower = text.lower()
    if len(lower) != len(text):  # a few letters have no lower case of their length
        lower = text
    found = [
        (mark.end(), mark[0])
        for word, pattern in _MARKS.items()
        if word in lower
        for mark in pattern.finditer(lower)
    ]
    return sorted(found, reverse=True)[:MAX_MARKS]


def is_negated(text: str, start: int) -> bool:
    """True if the words that begin at `start` are what the answer is not."""
    return bool(_NEGATED.search(text[max(0, start - NEGATION_CHARS) : start]))


def whole_letter(text: str) -> str:
    """The choice letter a text consists of or begins with; "" for none."""
    stripped = text.strip().strip("*").strip()
    found = _WHOLE_LETTER.fullmatch(stripped) or _LEADING_LETTER.match(stripped)
    return found[1] if found else ""


def letters(text: str) -> list[str]:
    """Choice letters in their order, without those that are negated."""
    found = (m for m in _LETTER.finditer(text) if not is_negated(text, m.start()))
    return [next(filter(None, m.groups())) for m in found]


def yes_or_no(text: str) -> str:
    """The yes or no that a text begins with; "" for neither."""
    found = _LEADING_WORD.match(text)
    word = found[1].casefold() if found else ""
    return "yes" if word in YES else "no" if word in NO else ""


def _boxed(ending: str) -> str:
    """Up to the brace that closes it."""
    depth = 1
    for place, char in enumerate(ending):
        depth += (char == "{") - (char == "}")
        if not depth:
            return ending[:place]
    return ending
