"""Words of a prompt that may name what it is about."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

MOST_TERMS: Final = 12
MAX_CHARS: Final = 8_192
"""Characters that are read, half from either end."""
_WORD: Final = re.compile(r"(?<![^\W_])[^\W\d_]{3,20}(?![^\W_])")
_COMMON_WORDS: Final = """
the and for with that this you was are from have has had not but what which who how why when where
whose whom can could would should shall will may might must does did done doing your yours mine our
ours all one two its it's their theirs there here please into onto than then them they his her hers
him she out about above below each any some many much more most also only just very such being been
were while during before after over under between through both few other another same own again
don didn doesn isn wasn won couldn wouldn
further once because until upon within without against among let lets give given get make made say
said tell use used using want wants need needs like following
der die das und ist nicht ein eine einen einem einer mit für auf den dem des wie ich sie wir zum zur
les des est une que qui dans pour pas sur vous nous aux avec quelle comment
los las por para del como qué cómo cuál una con
"""
COMMON: Final = frozenset(_COMMON_WORDS.split())


def words(text: str) -> Sequence[str]:
    """Whole words of three to twenty letters, lower case, without common ones; in order.

    >>> words("What is the area of 3 circles in E2E tests?")
    ['area', 'circles', 'tests']
    """
    half = MAX_CHARS // 2
    read = text if len(text) <= MAX_CHARS else f"{text[:half]} {text[-half:]}"
    return [word for word in _WORD.findall(read.casefold()) if word not in COMMON]


def terms_of(text: str) -> tuple[str, ...]:
    """At most twelve different words, drawn by the whole text alone.

    The first twelve would be what every prompt made from one template begins with; words drawn
    the same way in every prompt would leave some out everywhere.
    """
    found = set(words(text))
    if len(found) <= MOST_TERMS:
        return tuple(sorted(found))
    key = hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest()

    def order(word: str) -> bytes:
        return hashlib.blake2b(word.encode(), digest_size=8, key=key).digest()

    return tuple(sorted(found, key=order)[:MOST_TERMS])
