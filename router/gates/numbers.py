"""Numbers as answers write them: separators, signs of money, percent, fractions, LaTeX."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

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
