"""Does an answer agree with a reference? Closed answers are compared by what they say."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from enum import StrEnum
from typing import Any, Final


class Match(StrEnum):
    """auto: by the reference's form: number, choice letter, JSON, else contains."""

    AUTO = "auto"
    EXACT = "exact"
    CONTAINS = "contains"
    NUMBER = "number"


_NUMBER: Final = re.compile(
    r"(?<![\w.])[-+]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d{1,3})?%?", re.IGNORECASE
)
_FINAL: Final = re.compile(
    r"(?:####|\\boxed\{|\banswer\s*(?:is|:|=)|\banswer\b.{0,20}?:)", re.IGNORECASE
)
_LETTER: Final = re.compile(r"\(?([A-Z])[).:]?", re.ASCII)
_LETTER_WITHIN: Final = re.compile(r"(?<![\w'])\(?([A-J])\)?(?![\w'])")
_FENCE: Final = re.compile(r"```[\w-]*\n(.*?)```", re.DOTALL)
_RELATIVE: Final = 1e-6
MAX_CHARS: Final = 200_000


def quality_of(answer: str, reference: Any, how: Match = Match.AUTO) -> float:
    """1.0 when the answer agrees with the reference, else 0.0.

    reference: a JSON value. GSM8K's references are read from behind their `####`.

    >>> quality_of("That makes 1,200 in all.", "1200")
    1.0
    >>> quality_of("The answer is (B), since A is wrong.", "B")
    1.0
    """
    answer = answer[-MAX_CHARS:]
    return float(_agrees(answer, _plain(reference), how))


def _plain(reference: Any) -> Any:
    if isinstance(reference, str) and "####" in reference:
        return reference.rsplit("####", 1)[1].strip()
    return reference


def _agrees(answer: str, reference: Any, how: Match) -> bool:
    if how is Match.NUMBER:
        return _same_number(answer, reference)
    if how is Match.EXACT:
        return _normal(answer) == _normal(_text(reference))
    if how is Match.CONTAINS:
        return _holds(answer, _text(reference))
    return _agrees_by_form(answer, reference)


def _agrees_by_form(answer: str, reference: Any) -> bool:
    if isinstance(reference, dict | list) or _is_json(reference):
        return _same_json(answer, reference)
    text = _text(reference)
    if _number(text) is not None:
        return _same_number(answer, reference)
    letter = _LETTER.fullmatch(text.strip())
    return _choice(answer) == letter.group(1) if letter else _holds(answer, text)


def _text(reference: Any) -> str:
    return reference if isinstance(reference, str) else json.dumps(reference)


def _number(text: str) -> float | None:
    """The whole text as a number."""
    found = _NUMBER.fullmatch(text.strip().rstrip("."))
    return _value(found.group()) if found else None


def _value(digits: str) -> float:
    value = float(re.sub(r"[,$%+]", "", digits))
    return value if math.isfinite(value) else math.inf


def _same_number(answer: str, reference: Any) -> bool:
    wanted = _number(_text(reference))
    if wanted is None:
        found = _NUMBER.findall(_text(reference))
        wanted = _value(found[-1]) if found else None
    said = _said_number(answer)
    if wanted is None or said is None:
        return False
    return math.isclose(said, wanted, rel_tol=_RELATIVE, abs_tol=1e-9)


def _said_number(answer: str) -> float | None:
    """The first number behind the last 'answer is', else the last one."""
    ending = _ending(answer)
    found = _NUMBER.findall(ending) if ending else []
    if found:
        return _value(found[0])
    found = _NUMBER.findall(answer)
    return _value(found[-1]) if found else None


def _ending(answer: str) -> str:
    marks = list(_FINAL.finditer(answer))
    return answer[marks[-1].end() :] if marks else ""


def _choice(answer: str) -> str:
    """The letter that an answer settles on; "" for none."""
    stripped = answer.strip().strip("*").strip()
    whole = _LETTER.fullmatch(stripped)
    if whole:
        return whole.group(1)
    ending = _LETTER_WITHIN.search(_ending(answer))
    if ending:
        return ending.group(1)
    leading = re.match(r"\(?([A-J])[).:](?:\s|$)", stripped)
    if leading:
        return leading.group(1)
    found = _LETTER_WITHIN.findall(answer)
    return str(found[-1]) if found else ""


def _is_json(reference: Any) -> bool:
    return isinstance(reference, str) and isinstance(_parsed(reference), dict | list)


def _same_json(answer: str, reference: Any) -> bool:
    wanted = _parsed(reference) if isinstance(reference, str) else reference
    fenced = _FENCE.findall(answer)
    said = _parsed(fenced[-1] if fenced else answer)
    return said is not None and bool(said == wanted)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _normal(text: str) -> str:
    """Case, accents' encoding, punctuation, articles and spaces do not matter."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = re.sub(r"[^\w\s.%-]|(?<!\d)[.-]|[.](?!\d)", " ", folded).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def _holds(answer: str, reference: str) -> bool:
    wanted = _normal(reference)
    return bool(wanted) and f" {wanted} " in f" {_normal(answer)} "
