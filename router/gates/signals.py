"""Reads off an answer's text, in numbers, what it says of its own worth; linear in a bounded part.

A signal is added by a line in `SIGNALS` and a higher `SIGNALS_VERSION`: what gates learn from, and
how wide it is, follows from both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from bandit.types import Vector
from router.domain.chat import Answer, FinishReason, head_and_tail
from router.gates.closed_answers import AnswerKind, ClosedAnswer, asked_kind, closed_answer
from router.gates.lexicon import CORRECTIONS, ENGLISH, HEDGES, REFUSALS, STEPS

SIGNALS_VERSION: Final = "1"
"""Raise it when a signal below changes: gates learn from one version only."""
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


@dataclass(frozen=True, slots=True)
class PromptTraits:
    """The traits of a prompt that its answers are compared with, read once for all of them."""

    length: int
    asked: AnswerKind | None
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
    closed: ClosedAnswer | None = None


def traits_of(prompt: str, *, wants_json: bool = False) -> PromptTraits:
    text = head_and_tail(prompt, MAX_CHARS)
    return PromptTraits(
        length=len(prompt),
        asked=asked_kind(prompt, wants_json=wants_json),
        numbers=frozenset(_plain_numbers(text)),
        english=_is_english(_words(text)),
        latin=_is_latin(text),
    )


def reply_of(
    answer: Answer, verified: float | None = None, closed: ClosedAnswer | None = None
) -> Reply:
    return Reply(
        text=answer.text,
        cut_off=answer.finish_reason is FinishReason.LENGTH,
        mean_logprob=answer.mean_logprob,
        verified=verified,
        tool_calls=len(answer.tool_calls),
        closed=closed,
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """A reply as its signals see it. text: its ends. numbers: of the text, in one form."""

    prompt: PromptTraits
    reply: Reply
    text: str
    words: list[str]
    numbers: list[str]
    closed: ClosedAnswer | None

    @property
    def size(self) -> float:
        return math.log1p(len(self.reply.text))

    @property
    def value(self) -> float | None:
        """The number that the answer settles on."""
        return self.closed.number.value if self.closed and self.closed.number else None

    def among(self, known: frozenset[str], divisor: float) -> float:
        return _log(sum(word in known for word in self.words), divisor)


def signals_of(prompt: PromptTraits, reply: Reply) -> Vector:
    """(n_signals,), each in [-1, 1.5]; order of `NAMES`.

    >>> found = signals_of(traits_of("How many are 2 and 2?"), Reply("2 + 2 = 5, so 5."))
    >>> dict(zip(NAMES, found.round(2).tolist()))["wrong_sums"]
    0.69
    """
    text = head_and_tail(reply.text, MAX_CHARS)
    closed = reply.closed or closed_answer(reply.text, prompt.asked)
    reading = _Reading(prompt, reply, text, _words(text), _plain_numbers(text), closed)
    return np.array([signal(reading) for signal in SIGNALS.values()])


def _abrupt(reading: _Reading) -> float:
    if reading.reply.cut_off:
        return 1.0
    stripped = reading.text.rstrip()
    whole = bool(stripped) and stripped[-1] in _ENDS
    return 0.0 if whole or reading.reply.tool_calls else 0.5


def _other_script(reading: _Reading) -> float:
    prompt = reading.prompt
    if len(reading.words) < _TELLING_WORDS:
        return 0.0
    foreign = prompt.latin != _is_latin(reading.text)
    return float(foreign or prompt.english != _is_english(reading.words))


def _odd_number(reading: _Reading) -> float:
    value = reading.value
    return float(value is not None and (value < 0 or not value.is_integer() or abs(value) > _LARGE))


def _uncovered(reading: _Reading) -> float:
    asked = reading.prompt.numbers
    return len(asked.difference(reading.numbers)) / len(asked) if asked else 0.0


def _wrong_sums(reading: _Reading) -> float:
    if "=" not in reading.text:  # many times faster than to try everywhere
        return 0.0
    return _log(sum(map(_is_wrong, _SUM.finditer(reading.text))), 1)


def _logprob(reading: _Reading) -> float:
    logprob = reading.reply.mean_logprob
    return 0.0 if logprob is None else max(-1.0, min(1 + 2 * max(logprob, -9.0), 1.0))


def _verified(reading: _Reading) -> float:
    verified = reading.reply.verified
    return 0.0 if verified is None else 2 * max(0.0, min(verified, 1.0)) - 1


def _is_wrong(found: re.Match[str]) -> bool:
    """True if "a op b = c" does not hold; the end of a longer sum is not judged."""
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
    """True if most letters of its beginning are Latin ones."""
    if text[:_SCRIPT_CHARS].isascii():
        return True
    letters = [char for char in text[:_SCRIPT_CHARS] if char.isalpha()]
    return 2 * sum(char <= _LAST_LATIN for char in letters) >= len(letters)


def _is_english(said: list[str]) -> bool:
    head = said[:_SCRIPT_CHARS]
    known = sum(map(ENGLISH.__contains__, head))
    return len(head) < _TELLING_WORDS or _ENGLISH_SHARE * known >= len(head)


def _words(text: str) -> list[str]:
    return text.lower().translate(_BLANKS).split()


SIGNALS: Final[Mapping[str, Callable[[_Reading], float]]] = {
    # Size and form.
    "log_length": lambda r: min(r.size / 5 - 1, _MOST),
    "length_ratio": lambda r: max(-1.0, min((r.size - math.log1p(r.prompt.length)) / 3, _MOST)),
    "abrupt": _abrupt,
    "newlines": lambda r: _log(r.text.count("\n"), 2.5),
    "fenced": lambda r: float("```" in r.text or r.text.rstrip()[:1] in {"{", "["}),
    "other_script": _other_script,
    # How often it hedges, refuses, corrects itself, and goes on to a next step.
    "hedges": lambda r: r.among(HEDGES, 1.5),
    "refusals": lambda r: r.among(REFUSALS, 1.5),
    "corrections": lambda r: r.among(CORRECTIONS, 1.5),
    "steps": lambda r: r.among(STEPS, 2.5),
    # The closed answer, where one was asked for or given.
    "not_closed": lambda r: float(r.closed is None and r.prompt.asked is not None),
    "unmarked": lambda r: float(r.closed is not None and not r.closed.marked),
    "repeated": lambda r: (
        0.0 if r.value is None else _log(r.numbers.count(f"{r.value:.12g}") - 1, 1.5)
    ),
    "echoed": lambda r: float(r.value is not None and f"{r.value:.12g}" in r.prompt.numbers),
    "odd_number": _odd_number,
    # Figures: how many, the prompt's that were left out, equations, those that are wrong.
    "numbers": lambda r: _log(len(r.numbers), 2.5),
    "uncovered": _uncovered,
    "equations": lambda r: _log(r.text.count("="), 2.5),
    "wrong_sums": _wrong_sums,
    # What is known besides the text, each with a flag that it is known.
    "logprob": _logprob,
    "logprob_known": lambda r: float(r.reply.mean_logprob is not None),
    "verified": _verified,
    "verified_known": lambda r: float(r.reply.verified is not None),
}
"""Name -> function, in the order in which they are stored."""
NAMES: Final = tuple(SIGNALS)
N_SIGNALS: Final = len(NAMES)
