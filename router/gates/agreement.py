"""How far two answers agree: closed ones exactly, open ones as far as their embeddings tell.

An embedding hardly tells "the capital is Paris" from "the capital is Lyon", or a sentence from its
negation. In a short text a name, a number or a negation is what it says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import zip_longest
from typing import Final

from router.gates.answer_marks import same_number
from router.gates.closed_answers import AnswerKind, ClosedAnswer, closed_answer
from router.gates.lexicon import COPULAS, NEGATIONS, STARTERS

MOST_WORDS: Final = 40
"""Words of the longest text compared so: in longer ones names and negations differ anyway."""
OPPOSED: Final = 0.5
"""The most that opposed texts agree: less than any two that a gate takes to agree."""

_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_STOPS: Final = frozenset(".!?:;\n\u3002")


def agreement(one: ClosedAnswer | None, other: ClosedAnswer | None) -> float | None:
    """1.0 where both say the same, 0.0 where they do not, None where neither is closed."""
    if one is None and other is None:
        return None
    if one is None or other is None:
        return 0.0
    if one.number and other.number:
        return float(same_number(one.number, other.number))
    return float(one.kind is other.kind and one.text == other.text)


def compare(one: str, other: str, asked: AnswerKind | None = None) -> float | None:
    """Agreement of two texts: the form in which one is closed is looked for in the other.

    >>> compare("The answer is 1,200.", "So they earn $1200 in all.")
    1.0
    >>> compare("It is a fine day.", "The weather is good.") is None
    True
    """
    first, second = closed_answer(one, asked), closed_answer(other, asked)
    if first and not second:
        second = closed_answer(other, first.kind)
    elif second and not first:
        first = closed_answer(one, second.kind)
    return agreement(first, second)


def spread_labels(
    known: Mapping[str, float], answers: Mapping[str, ClosedAnswer | None]
) -> dict[str, float]:
    """Carry the labels of some answers over to the others; for exact answers only.

    An answer equal to another shares its label; one unequal to a right one is wrong. known: P(ok)
    of some of `answers`, by name. What is only likely (a label between 0 and 1) is passed on to
    equal answers alone.

    >>> five, six = closed_answer("5"), closed_answer("6")
    >>> spread_labels({"strong": 1.0}, {"first": five, "second": six, "strong": six})
    {'strong': 1.0, 'first': 0.0, 'second': 1.0}
    """
    labels = dict(known)
    for name, answer in answers.items():
        found = [_implied(answer, answers.get(of), label) for of, label in known.items()]
        told = [label for label in found if label is not None]
        if name not in labels and told:
            labels[name] = max(told)
    return labels


def _implied(answer: ClosedAnswer | None, other: ClosedAnswer | None, label: float) -> float | None:
    if other is None:
        return None
    if agreement(answer, other):
        return label
    return 0.0 if label == 1.0 else None


def bounded_similarity(similarity: float, one: str, other: str) -> float:
    """Returns the cosine of two texts, in [0, 1], at most `OPPOSED` where they are opposed.

    >>> bounded_similarity(0.95, "The capital is Paris.", "The capital is Lyon.")
    0.5
    >>> bounded_similarity(0.95, "Rivers carry water to the sea.", "Rivers bring water to the sea.")
    0.95
    """
    return min(similarity, OPPOSED) if _opposed(one, other) else similarity


def _opposed(one: str, other: str) -> bool:
    if max(len(one.split()), len(other.split())) > MOST_WORDS:
        return False
    if _is_negated(one) != _is_negated(other):
        return True
    said, heard = _names(one), _names(other)
    return not (said <= heard or heard <= said)


def _is_negated(text: str) -> bool:
    words: list[str] = _WORD.findall(text.lower().replace("\u2019", "'"))
    return sum(word in NEGATIONS or word.endswith("n't") for word in words) % 2 == 1


def _names(text: str) -> set[str]:
    """Numbers and capitalised words; at the start of a sentence only what something is said of."""
    found: set[str] = set()
    words, end = list(_WORD.finditer(text)), 0
    for match, after in zip_longest(words, words[1:]):
        word, starts = match.group(), not end or bool(_STOPS & set(text[end : match.start()]))
        end = match.end()
        named = len(words) == 1 or (after is not None and after.group() in COPULAS)
        if word[0].isdigit() or (word[0].isupper() and (named or not starts)):
            found.add(word.lower())
    return found - STARTERS
