"""Finds where in a text its closed answer stands, and reads the numbers that answers write.

Marks, negations, letters, yes and no; separators, signs of money, percent, fractions, LaTeX.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
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


RELATIVE: Final = 1e-6
LEAST_DECIMALS: Final = 2
"""Digits from which a number with more decimals may be the same one, rounded less."""

_MONEY: Final = "$\u20ac\u00a3\u00a5\u20b9"
_LATEX: Final = (
    (re.compile(r"\\[dt]?frac\s?\{([^{}]{1,40})\}\s?\{([^{}]{1,40})\}"), r" \1/\2"),
    (re.compile(r"\\text(?:bf|rm)?\s?\{([^{}]{0,80})\}"), r" \1"),
    (re.compile(r"\\[,;!: ]|\{,\}(?=\d{3})"), ""),
    (re.compile(r"\\([%$])"), r"\1"),
    (re.compile(r"\\(?:times|cdot)"), "\u00d7"),
)
_PLAIN: Final = str.maketrans({"\u2212": "-", "\u2013": "-", "\u2009": ",", "\u202f": ","})
# Every repetition is bounded or cannot begin inside another match: linear in the text.
_NUMBER: Final = re.compile(
    rf"(?<![\w.])[-+]?[{_MONEY}]?-?"
    r"(?:(?P<european>\d{1,3}(?:\.\d{3})+,\d{1,9})(?![\d,.]\d)"
    r"|(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?P<decimals>\.\d+)?)"
    r"(?:e(?P<exponent>[-+]?\d{1,3})(?!\w)"
    r"|\s?[x*\u00d7]\s?10\^\{?(?P<power>[-+]?\d{1,3})\}?"
    r"|(?:\s(?P<over>\d{1,9}))?/(?P<under>\d{1,9})(?![\d/]))?"
    r"\s?(?P<percent>%)?",
    re.IGNORECASE,
)

_DIGIT: Final = re.compile(r"\d")
_EQUATION: Final = re.compile(
    rf"[^\d\n]{{0,80}}(?:[-\d.,\s+*/\u00d7\u00f7^(){_MONEY}%]{{1,120}}=){{1,9}}"
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number. value: of "50%" it is 50. decimals: as written. start: its place in the text."""

    value: float
    decimals: int = 0
    percent: bool = False
    start: int = 0


def plain(text: str) -> str:
    r"""Rewrites LaTeX numbers in plain digits, with one kind of minus.

    >>> plain(r"\frac{3}{4} of 1{,}200")
    ' 3/4 of 1200'
    """
    text = text.translate(_PLAIN)
    if "\\" in text or "{" in text:
        for pattern, written in _LATEX:
            text = pattern.sub(written, text)
    return text


def numbers(text: str) -> Iterator[Number]:
    """Every number of a text that went through `plain`.

    >>> [n.value for n in numbers("$1,200.50, 3/4 and 2 1/2 of 5%")]
    [1200.5, 0.75, 2.5, 5.0]
    """
    if not _DIGIT.search(text):  # many times faster than to try everywhere
        return iter(())
    return (_read(found) for found in _NUMBER.finditer(text))


def results(text: str) -> Iterator[Number]:
    """The numbers of a text, but of an equation that it begins with the last side only.

    >>> [n.value for n in results(" 5 * 12 = 60 apples, not 59")]
    [60.0, 59.0]
    """
    found = _EQUATION.match(text)
    if found:
        later = list(numbers(" " * found.end() + text[found.end() :]))
        if later:
            return iter(later)
    return numbers(text)


def whole_number(text: str) -> Number | None:
    """The text, if it is nothing but a number."""
    found = _NUMBER.fullmatch(plain(text.strip()).strip().rstrip(".").strip())
    return _read(found) if found else None


def same_number(one: Number, other: Number) -> bool:
    """Equal, rounded alike, or the one a percentage and the other its share.

    >>> same_number(Number(50.0, percent=True), Number(0.5, decimals=1))
    True
    """
    if one.percent != other.percent:
        percent, share = (one, other) if one.percent else (other, one)
        if _close(percent.value / 100, share.value):
            return True
    decimals = min(one.decimals, other.decimals)
    if decimals >= LEAST_DECIMALS:
        return abs(one.value - other.value) <= 0.5000001 * 10.0**-decimals
    return _close(one.value, other.value)


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=1e-9)


def _read(found: re.Match[str]) -> Number:
    part = found.groupdict()
    european, decimals = part["european"], part["decimals"] or ""
    if european:
        value = float(european.replace(".", "").replace(",", "."))
        decimals = "." + european.rsplit(",", 1)[1]
    else:
        value = float(part["whole"].replace(",", "") + decimals)
    power = int(part["exponent"] or part["power"] or 0)
    value = _shifted(_fraction(value, part["over"], part["under"]), power)
    if "-" in found.group()[: found.start("whole" if not european else "european") - found.start()]:
        value = -value
    written = 0 if power or part["under"] else max(0, len(decimals) - 1)
    return Number(value, min(written, 12), bool(part["percent"]), found.start())


def _fraction(value: float, over: str | None, under: str | None) -> float:
    divisor = float(under or 1)
    if not divisor:
        return math.inf
    return value + float(over) / divisor if over else value / divisor


def _shifted(value: float, power: int) -> float:
    try:
        return value * 10.0**power
    except OverflowError:
        return math.inf
