"""What an answer's text says of its own worth, in numbers: linear in a bounded part of it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from bandit.types import Vector
from router.domain.chat import Answer, FinishReason
from router.gates.closed_answers import Closed, Kind, asked_kind, closed_answer

_HEDGES = """
maybe perhaps possibly probably likely might may could seems seem appears assume assuming assumed
approximately roughly unclear unsure uncertain ambiguous guess suppose presumably
vielleicht vermutlich wahrscheinlich quizás talvez forse misschien
"""
_REFUSALS = """
sorry cannot can't unable won't apologize apologies impossible insufficient undetermined determined
decline leider
"""
_CORRECTIONS = """
wait actually however mistake incorrect wrong recheck reconsider correction oops instead but
"""
_STEPS = """
first firstly second secondly third next then therefore thus so hence finally lastly step since
because zuerst dann ensuite donc luego entonces
"""
_ENGLISH = """
the of and to is are was in that it you for with on as be this have not or what how which if from by
at we so then can will he she they there each total answer
"""

HEDGES: Final = frozenset(_HEDGES.split())
REFUSALS: Final = frozenset(_REFUSALS.split())
CORRECTIONS: Final = frozenset(_CORRECTIONS.split())
STEPS: Final = frozenset(_STEPS.split())
ENGLISH: Final = frozenset(_ENGLISH.split())


SIGNALS_VERSION: Final = "1"
"""Raise it when a signal below changes: gates learn from one version only."""

NAMES: Final = (
    *("log_length", "length_ratio", "abrupt", "newlines", "fenced", "other_script"),
    *("hedges", "refusals", "corrections", "steps"),
    *("not_closed", "unmarked", "repeated", "echoed", "odd_number"),
    *("numbers", "uncovered", "equations", "wrong_sums"),
    *("logprob", "logprob_known", "verified", "verified_known"),
)
N_SIGNALS: Final = len(NAMES)

MAX_CHARS: Final = 6_000
"""Characters that are read, half from either end; the length sees the whole."""

_BLANKS: Final = str.maketrans(dict.fromkeys('.,;:!?()[]{}<>"*_`$#=+/\\|~\u2026\u3002\uff0c', " "))
_NUMBER: Final = re.compile(r"\d[\d,]*(?:\.\d+)?")
_SUM: Final = re.compile(
    r"(\d[\d,]{0,15}(?:\.\d{1,9})?) ?([-+*/\u00d7\u00f7]) ?\$?(\d[\d,]{0,15}(?:\.\d{1,9})?)"
    r" ?= ?\$?(\d[\d,]{0,15}(?:\.\d{1,9})?)(?![\d,./]*\d| ?[-+*/\u00d7\u00f7%])"
)
_OPERATORS: Final = "-+*/\u00d7\u00f7(^"
_ENDS: Final = frozenset(".!?:)]}`\"'*$%\u3002\uff01\uff1f\u201d")
_LAST_LATIN: Final = "\u024f"
_ROUNDING: Final = 0.006
_MOST: Final = 1.5
_LARGE: Final = 1e6
_SCRIPT_CHARS: Final = 200
_TELLING_WORDS: Final = 8
_ENGLISH_SHARE: Final = 12
"""One English function word in so many is English enough."""
_LEXICONS: Final = (HEDGES, REFUSALS, CORRECTIONS, STEPS)
_DIVISORS: Final = (1.5, 1.5, 1.5, 2.5)
_LEXICON: Final = {word: index for index, known in enumerate(_LEXICONS) for word in known}


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, read once for all answers to it."""

    length: int
    asked: Kind | None
    numbers: frozenset[str]
    english: bool
    latin: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer and what is known of it besides its text.

    mean_logprob: mean natural log-probability of its tokens. verified: a verifier's score in
    [0, 1]. closed: what it settles on, None to look for it in the text.
    """

    text: str
    cut_off: bool = False
    mean_logprob: float | None = None
    verified: float | None = None
    tool_calls: int = 0
    closed: Closed | None = None


def question_of(prompt: str, *, wants_json: bool = False) -> Question:
    text = _ends(prompt)
    return Question(
        length=len(prompt),
        asked=asked_kind(prompt, wants_json=wants_json),
        numbers=frozenset(_plain_numbers(text)),
        english=_is_english(_words(text)),
        latin=_is_latin(text),
    )


def reply_of(answer: Answer, verified: float | None = None, closed: Closed | None = None) -> Reply:
    return Reply(
        text=answer.text,
        cut_off=answer.finish_reason is FinishReason.LENGTH,
        mean_logprob=answer.mean_logprob,
        verified=verified,
        tool_calls=len(answer.tool_calls),
        closed=closed,
    )


def signals_of(question: Question, reply: Reply) -> Vector:
    """(n_signals,), each in [-1, 1.5]; order of `NAMES`.

    >>> found = signals_of(question_of("How many are 2 and 2?"), Reply("2 + 2 = 5, so 5."))
    >>> dict(zip(NAMES, found.round(2).tolist()))["wrong_sums"]
    0.69
    """
    text = _ends(reply.text)
    said = _words(text)
    found = _plain_numbers(text)
    closed = reply.closed or closed_answer(reply.text, question.asked)
    return np.array(
        [
            *_shape(question, reply, text, said),
            *_wording(said),
            *_settled(question, closed, found),
            *_sums(question, text, found),
            *_told(reply),
        ]
    )


def _shape(question: Question, reply: Reply, text: str, said: list[str]) -> tuple[float, ...]:
    """Size and form."""
    size = math.log1p(len(reply.text))
    stripped = text.rstrip()
    whole = bool(stripped) and stripped[-1] in _ENDS
    foreign = question.latin != _is_latin(text) or question.english != _is_english(said)
    return (
        min(size / 5 - 1, _MOST),
        max(-1.0, min((size - math.log1p(question.length)) / 3, _MOST)),
        1.0 if reply.cut_off else 0.0 if whole or reply.tool_calls else 0.5,
        _log(text.count("\n"), 2.5),
        float("```" in text or stripped[:1] in {"{", "["}),
        float(bool(said) and len(said) >= _TELLING_WORDS and foreign),
    )


def _wording(said: list[str]) -> list[float]:
    """How often it hedges, refuses, corrects itself, and goes on to a next step."""
    found = [_LEXICON[word] for word in said if word in _LEXICON]
    return [_log(found.count(index), divisor) for index, divisor in enumerate(_DIVISORS)]


def _words(text: str) -> list[str]:
    return text.lower().translate(_BLANKS).split()


def _settled(
    question: Question, closed: Closed | None, found: list[str]
) -> tuple[float, float, float, float, float]:
    """What is to be told of the closed answer."""
    if closed is None:
        return float(question.asked is not None), 0.0, 0.0, 0.0, 0.0
    if closed.number is None:
        return 0.0, float(not closed.marked), 0.0, 0.0, 0.0
    value = closed.number.value
    written = f"{value:.12g}"
    odd = value < 0 or not value.is_integer() or abs(value) > _LARGE
    again = found.count(written) - 1
    return 0.0, float(not closed.marked), _log(again, 1.5), float(written in question.numbers), odd


def _sums(question: Question, text: str, found: list[str]) -> tuple[float, float, float, float]:
    """Figures: how many, the prompt's that were left out, equations, those that are wrong."""
    asked = question.numbers
    left = len(asked.difference(found)) / len(asked) if asked else 0.0
    equations = text.count("=")
    wrong = sum(map(_is_wrong, _SUM.finditer(text))) if equations else 0
    return _log(len(found), 2.5), left, _log(equations, 2.5), _log(wrong, 1)


def _told(reply: Reply) -> tuple[float, float, float, float]:
    """Log-probability and verifier, each with a flag that it is known."""
    logprob, verified = reply.mean_logprob, reply.verified
    sure = 0.0 if logprob is None else max(-1.0, min(1 + 2 * max(logprob, -9.0), 1.0))
    good = 0.0 if verified is None else 2 * max(0.0, min(verified, 1.0)) - 1
    return sure, float(logprob is not None), good, float(verified is not None)


def _is_wrong(found: re.Match[str]) -> bool:
    """Whether "a op b = c" does not hold; the end of a longer sum is not judged."""
    before = found.string[max(0, found.start() - 3) : found.start()].rstrip(" $")
    if before and before[-1] in _OPERATORS:
        return False
    left, operator, right, said = found.groups()
    one, other, value = _float(left), _float(right), _float(said)
    if operator in "/\u00f7" and not other:
        return False
    true = _calculated(one, operator, other)
    # Percentages, shares and rounded values are written alike.
    near = any(abs(true * scale - value) <= _ROUNDING * max(1, abs(value)) for scale in (1, 0.01))
    return not near


def _calculated(one: float, operator: str, other: float) -> float:
    if operator == "+":
        return one + other
    if operator == "-":
        return abs(one - other)  # the sign of what is said is not read
    return one / other if operator in "/\u00f7" else one * other


def _float(digits: str) -> float:
    return float(digits.replace(",", ""))


def _plain_numbers(text: str) -> list[str]:
    """Every number in one way of writing it: 1,200.50 is 1200.5."""
    return [_written(digits) for digits in _NUMBER.findall(text)]


def _written(digits: str) -> str:
    digits = digits.replace(",", "")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _log(count: float, divisor: float) -> float:
    return min(math.log1p(max(count, 0)) / divisor, _MOST)


def _is_latin(text: str) -> bool:
    """Whether most letters of its beginning are Latin ones."""
    if text[:_SCRIPT_CHARS].isascii():
        return True
    letters = [char for char in text[:_SCRIPT_CHARS] if char.isalpha()]
    return 2 * sum(char <= _LAST_LATIN for char in letters) >= len(letters)


def _is_english(said: list[str]) -> bool:
    head = said[:_SCRIPT_CHARS]
    known = sum(map(ENGLISH.__contains__, head))
    return len(head) < _TELLING_WORDS or _ENGLISH_SHARE * known >= len(head)


def _ends(text: str) -> str:
    half = MAX_CHARS // 2
    return text if len(text) <= MAX_CHARS else f"{text[:half]} {text[-half:]}"
