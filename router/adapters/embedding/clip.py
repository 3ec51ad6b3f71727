"""Cuts a long prompt to what the model gets to see: its head and its tail.

The task of a chat prompt stands at its beginning or its end far more often than in the middle.
Characters are cut first, so that a prompt of megabytes is never tokenised; tokens are cut after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TOKENS: Final = 256
"""Tokens per prompt, the two special ones included."""

HEAD_TOKENS: Final = 128
TAIL_TOKENS: Final = MAX_TOKENS - 2 - HEAD_TOKENS

MAX_CHARS: Final = 4096
"""Characters per prompt that reach the tokenizer, half from either end.

English has 4 to 5 characters a token and source code about 3, so each half holds several times
the tokens that are kept of it.
"""


def fits(ids: Sequence[int]) -> bool:
    return len(ids) <= HEAD_TOKENS + TAIL_TOKENS


def clip_tokens(ids: Sequence[int]) -> Sequence[int]:
    """`ids` without special tokens: all of them, or the first 128 and the last 126."""
    if fits(ids):
        return ids
    return [*ids[:HEAD_TOKENS], *ids[-TAIL_TOKENS:]]
