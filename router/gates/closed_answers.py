"""The closed answer a text settles on, normalised.

Every pattern is linear in the text, and at most `MAX_CHARS` of it are read.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from router.gates.answer_marks import (
    Number,
    endings,
    is_negated,
    letters,
    numbers,
    plain,
    results,
    whole_letter,
    whole_number,
    yes_or_no,
)

MAX_CHARS: Final = 20_000
"""Characters read from an answer's end: its result is rarely said earlier."""
MAX_JSON_CHARS: Final = 200_000
MAX_PROMPT_CHARS: Final = 4_000
MAX_TEXT_CHARS: Final = 80
TAIL_CHARS: Final = 2_000
SHORT_CHARS: Final = 300
"""A longer text that begins with "Yes," says more than yes, unless that was asked."""


class AnswerKind(StrEnum):
    """The form of a closed answer. TEXT: few words where an answer belongs (boxed, a field)."""

    NUMBER = "number"
    CHOICE = "choice"
    YES_NO = "yes_no"
    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class ClosedAnswer:
    """The answer that a text settles on, in its normal form.

    number: for `AnswerKind.NUMBER` only. marked: the text calls it its answer.
    """

    kind: AnswerKind
    text: str
    number: Number | None = None
    marked: bool = True


_FENCE: Final = re.compile(r"```[\w-]{0,20}\n(.*?)```", re.DOTALL)
_FIELDS: Final = ("answer", "final_answer", "result")
_INVALID: Final = object()
_FORMULA: Final = re.compile(r"[\^_=+*/\\<>]|\d[^\W\d]")
_ASKS_NUMBER: Final = re.compile(
    r"\bhow (?:many|much|far|long|old|tall)\b|\b(?:calculate|compute|evaluate)\b"
    r"|\b(?:what is|find) the (?:total|sum|product|average|value|number|probability|area|ratio)\b",
    re.IGNORECASE,
)
_ASKS_CHOICE: Final = re.compile(r"(?:^|\s)\(?[A-D][.):]\s")
_ASKS_YES_NO: Final = re.compile(
    r"(?:^|[.!?\n])\s{0,3}(?:is|are|was|were|do|does|did|can|could|should|will|would|has|have"
    r"|true or false)\b[^.!?\n]{0,300}[?:]\s*$",
    re.IGNORECASE,
)
_CHOICES: Final = 3


def asked_kind(prompt: str, *, wants_json: bool = False) -> AnswerKind | None:
    """The form of answer that a prompt asks for, as far as its words tell.

    >>> asked_kind("How many legs have four spiders?")
    <AnswerKind.NUMBER: 'number'>
    """
    end = prompt[-MAX_PROMPT_CHARS:].rstrip()
    if wants_json:
        return AnswerKind.JSON
    if len(_ASKS_CHOICE.findall(end)) >= _CHOICES:
        return AnswerKind.CHOICE
    if _ASKS_NUMBER.search(end):
        return AnswerKind.NUMBER
    return AnswerKind.YES_NO if _ASKS_YES_NO.search(end) else None


def closed_answer(text: str, asked: AnswerKind | None = None) -> ClosedAnswer | None:
    """Returns the answer that the text settles on; None where it is open.

    asked: where nothing is marked as the answer, the last number or letter of a text counts only
    if one was asked for.

    >>> closed_answer("The answer is not (B) but (C).").text
    'C'
    >>> closed_answer("Rome was founded in 753 BC.") is None
    True
    """
    value = json_value(text)
    if isinstance(value, dict | list):
        return _of_json(value)
    text = text[-MAX_CHARS:].strip()
    if not text:
        return None
    return _whole(text, asked) or _marked(text, asked) or _unmarked(text, asked)


def final_number(text: str) -> Number | None:
    """The first number behind the last mark that has one, else the last; negated ones aside."""
    text = plain(text)
    for ending, _ in endings(text):
        found = _first_number(ending)
        if found:
            return found
    return _last_number(text[-TAIL_CHARS:]) or _last_number(text[:-TAIL_CHARS])


def final_choice(text: str) -> str:
    """The letter that a text settles on; "" for none."""
    stripped = text.strip()
    marked = next((found[0] for ending, _ in endings(text) if (found := letters(ending))), "")
    if len(stripped.strip("*() .:")) == 1:
        return whole_letter(stripped)
    every = [] if marked else letters(text)
    return marked or whole_letter(stripped) or (every[-1] if every else "")


def json_value(text: str) -> Any:
    """The JSON value that a text or its last fenced block is; None for no JSON, and for null."""
    if len(text) > MAX_JSON_CHARS:
        return None
    stripped = text.strip()
    fenced = _FENCE.findall(stripped) if "```" in stripped else []
    found = _parsed(fenced[-1] if fenced else stripped)
    return None if found is _INVALID else found


def normalized_words(text: str) -> str:
    """Case, accents' encoding, punctuation, articles and spaces do not matter."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = re.sub(r"[^\w\s.%-]|(?<!\d)[.-]|[.](?!\d)", " ", folded).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def _parsed(text: str) -> Any:
    try:
        # Models write line breaks into strings; 1.0 and 1 are the same number.
        return json.loads(text, strict=False, parse_float=_lean)
    except (ValueError, RecursionError):
        return _INVALID


def _lean(digits: str) -> float | int:
    value = float(digits)
    return int(value) if value.is_integer() else value


def _of_json(value: dict[str, Any] | list[Any]) -> ClosedAnswer | None:
    if isinstance(value, dict):
        for name in _FIELDS:
            if isinstance(value.get(name), str | int | float):
                return _of_field(value[name])
            if isinstance(value.get(name), dict | list):
                value = value[name]
                break
    try:
        return ClosedAnswer(AnswerKind.JSON, json.dumps(value, sort_keys=True))
    except (ValueError, RecursionError):
        return None


def _of_field(value: str | float) -> ClosedAnswer | None:
    text = value if isinstance(value, str) else json.dumps(value)
    return _whole(text, None) or _marked(text, None) or _lone_number(text) or _few_words(text)


def _lone_number(text: str) -> ClosedAnswer | None:
    """The number of "7 apples"; None for several."""
    found = list(numbers(plain(text[: MAX_TEXT_CHARS + 1])))
    if len(found) != 1 or len(text) > MAX_TEXT_CHARS:
        return None
    return ClosedAnswer(AnswerKind.NUMBER, f"{found[0].value:g}", found[0])


def _whole(text: str, asked: AnswerKind | None) -> ClosedAnswer | None:
    """The whole text, or how it begins where it is short."""
    number = whole_number(text) if len(text) <= MAX_TEXT_CHARS else None
    if number:
        return ClosedAnswer(AnswerKind.NUMBER, f"{number.value:g}", number)
    letter = whole_letter(text) if len(text) <= SHORT_CHARS or asked is AnswerKind.CHOICE else ""
    if letter:
        return ClosedAnswer(AnswerKind.CHOICE, letter)
    word = yes_or_no(text) if len(text) <= SHORT_CHARS or asked is AnswerKind.YES_NO else ""
    return ClosedAnswer(AnswerKind.YES_NO, word) if word else None


def _marked(text: str, asked: AnswerKind | None) -> ClosedAnswer | None:
    for ending, exact in endings(plain(text)):
        found = _of_exact(ending) if exact else _ending(ending, asked)
        if found:
            return found
    return None


def _of_exact(ending: str) -> ClosedAnswer | None:
    """Boxed, or behind ####: the answer and nothing else, up to the end of its line."""
    line = ending.strip().partition("\n")[0].strip()
    formula = _FORMULA.search(line)
    return _whole(line, None) or (None if formula else _lone_number(line)) or _few_words(line)


def _ending(ending: str, asked: AnswerKind | None) -> ClosedAnswer | None:
    """A number, letter, yes or no: what was asked for, else what comes first."""
    number = _first_number(ending)
    choice = letters(ending) if asked is not AnswerKind.NUMBER else []
    if choice and (
        asked is AnswerKind.CHOICE or not number or ending.find(choice[0]) < number.start
    ):
        return ClosedAnswer(AnswerKind.CHOICE, choice[0])
    if number and asked is not AnswerKind.CHOICE:
        return ClosedAnswer(AnswerKind.NUMBER, f"{number.value:g}", number)
    word = yes_or_no(ending)
    return ClosedAnswer(AnswerKind.YES_NO, word) if word else None


def _unmarked(text: str, asked: AnswerKind | None) -> ClosedAnswer | None:
    """The last that has the form asked for."""
    if asked is AnswerKind.NUMBER:
        number = final_number(text)
        return (
            ClosedAnswer(AnswerKind.NUMBER, f"{number.value:g}", number, marked=False)
            if number
            else None
        )
    if asked is AnswerKind.CHOICE:
        letter = final_choice(text)
        return ClosedAnswer(AnswerKind.CHOICE, letter, marked=False) if letter else None
    return None


def _few_words(text: str) -> ClosedAnswer | None:
    if len(text) > MAX_TEXT_CHARS:
        return None
    # Of a formula everything counts but its spaces.
    words = "".join(text.split()) if _FORMULA.search(text) else normalized_words(text)
    return ClosedAnswer(AnswerKind.TEXT, words) if words else None


def _last_number(text: str) -> Number | None:
    every = reversed(list(numbers(text)))
    return next((n for n in every if not is_negated(text, n.start)), None)


def _first_number(text: str) -> Number | None:
    return next((n for n in results(text) if not is_negated(text, n.start)), None)
