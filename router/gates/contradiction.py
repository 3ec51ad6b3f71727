"""Short texts whose embeddings are alike although they say different things.

An embedding hardly tells "the capital is Paris" from "the capital is Lyon", or a sentence from its
negation. In a short text a name, a number or a negation is what it says.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Final

MOST_WORDS: Final = 40
"""In longer texts names and negations differ by wording alone."""
OPPOSED: Final = 0.5
"""The most that opposed texts agree: less than any two that a gate takes to agree."""

_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_NEGATIONS: Final = frozenset(
    (
        *("not", "never", "neither", "nor", "cannot", "nicht", "kein", "keine", "keinen", "nie"),
        *("pas", "jamais", "n\u00e3o", "nunca", "niet", "geen", "non", "\u043d\u0435"),
    )
)
_STARTERS: Final = frozenset(
    ("it", "this", "that", "there", "he", "she", "they", "we", "you", "i", "yes", "no", "the")
)
_COPULAS: Final = frozenset(("is", "was", "are", "were", "ist", "war", "est", "es"))
_STOPS: Final = frozenset(".!?:;\n\u3002")


def bounded(similarity: float, one: str, other: str) -> float:
    """similarity: of the texts' embeddings, in [0, 1]; at most `OPPOSED` where they are opposed.

    >>> bounded(0.95, "The capital is Paris.", "The capital is Lyon.")
    0.5
    >>> bounded(0.95, "Rivers carry water to the sea.", "Rivers bring water to the sea.")
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
    return sum(word in _NEGATIONS or word.endswith("n't") for word in words) % 2 == 1


def _names(text: str) -> set[str]:
    """Numbers and capitalised words; at the start of a sentence only what something is said of."""
    found: set[str] = set()
    words, end = list(_WORD.finditer(text)), 0
    for match, after in zip_longest(words, words[1:]):
        word, starts = match.group(), not end or bool(_STOPS & set(text[end : match.start()]))
        end = match.end()
        named = len(words) == 1 or (after is not None and after.group() in _COPULAS)
        if word[0].isdigit() or (word[0].isupper() and (named or not starts)):
            found.add(word.lower())
    return found - _STARTERS
