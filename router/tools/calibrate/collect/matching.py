"""Compares an answer with a reference; closed answers by the value they settle on."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

from router.gates.answer_marks import (
    endings,
    is_negated,
    numbers,
    plain,
    same_number,
    whole_number,
    yes_or_no,
)
from router.gates.closed_answers import (
    final_choice,
    final_number,
    json_value,
    normalized_words,
)


class Match(StrEnum):
    """AUTO: by the reference's form: number, choice letter, JSON, one word, else contains."""

    AUTO = "auto"
    EXACT = "exact"
    CONTAINS = "contains"
    NUMBER = "number"


_LETTER: Final = re.compile(r"\(?([A-Z])[).:]?", re.ASCII)
_MOST_VALUES: Final = 64
_decoder: Final = json.JSONDecoder(strict=False)
MAX_CHARS: Final = 200_000


def quality_of(answer: str, reference: Any, how: Match = Match.AUTO) -> float:
    """Returns 1.0 when the answer agrees with the reference, a JSON value, else 0.0.

    GSM8K's references are read from behind their `####`.

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
        return normalized_words(answer) == normalized_words(_text(reference))
    if how is Match.CONTAINS:
        return _holds(answer, _text(reference))
    return _agrees_by_form(answer, reference)


def _agrees_by_form(answer: str, reference: Any) -> bool:
    if isinstance(reference, dict | list) or _is_json(reference):
        return _same_json(answer, reference)
    text = _text(reference)
    if whole_number(text):
        return _same_number(answer, reference)
    letter = _LETTER.fullmatch(text.strip())
    if letter:
        return final_choice(answer) == letter.group(1)
    wanted = normalized_words(text)
    return _holds(answer, text) and (" " in wanted or says(answer, wanted))


def _text(reference: Any) -> str:
    return reference if isinstance(reference, str) else json.dumps(reference)


def _same_number(answer: str, reference: Any) -> bool:
    text = _text(reference)
    wanted = whole_number(text) or next(reversed(list(numbers(plain(text)))), None)
    said = final_number(answer)
    return bool(wanted and said and same_number(said, wanted))


def _is_json(reference: Any) -> bool:
    return isinstance(reference, str) and isinstance(json_value(reference), dict | list)


def _same_json(answer: str, reference: Any) -> bool:
    wanted = json_value(reference) if isinstance(reference, str) else reference
    said = json_value(answer)
    if said is None:
        said = _inner_json(answer, "{" if isinstance(wanted, dict) else "[")
    return said is not None and bool(said == wanted)


def _inner_json(text: str, opening: str) -> Any:
    """Returns the last JSON value among other words; None for none."""
    found, start = None, text.find(opening)
    for _ in range(_MOST_VALUES):
        if start < 0:
            break
        try:
            found, end = _decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find(opening, end)
    return found


def _holds(answer: str, reference: str) -> bool:
    wanted = normalized_words(reference)
    return bool(wanted) and f" {wanted} " in f" {normalized_words(answer)} "


_TRUTH: Final = frozenset({"true", "false"})
_WORD: Final = re.compile(r"[^\W_]+")
_LONE: Final = re.compile(r"\W{0,8}([^\W_]+)[*_\"')]{0,4}(?:\.(?:\s|$)|:?[*_]{0,4}\s{0,3}(?:\n|$))")
_CLAUSE: Final = re.compile(r"[\s:*_]{0,20}([^\n]*?)(?:[.!?](?:\s|$)|\n|$)")


def says(answer: str, word: str) -> bool:
    """Returns whether the answer states the word, such as a label, yes or true.

    The text after the last answer mark decides, else the beginning, else mentions; a negated
    mention is none. word: in the form of `normalized_words`.

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
    """Returns the yes or no (with `truth`: true or false) that a text settles on; "" for none."""
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
    """Yields verdicts in order; the "no" of "no doubt" is none."""
    for found in _WORD.finditer(text):
        word, rest = found[0], text[found.end() : found.end() + 2]
        if not yes_or_no(f"{word}.") or (word in _TRUTH) != truth:
            continue
        if (truth or not re.match(r"\s\w", rest)) and not is_negated(text, found.start()):
            yield word
