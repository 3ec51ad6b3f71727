"""A long prompt keeps its two ends, exactly."""

from __future__ import annotations

from router.adapters.embedding.clip import (
    HEAD_TOKENS,
    MAX_CHARS,
    MAX_TOKENS,
    TAIL_TOKENS,
    clip_tokens,
)
from router.domain.chat import head_and_tail

ROOM = MAX_TOKENS - 2


def test_what_fits_is_left_alone() -> None:
    assert head_and_tail("x" * MAX_CHARS, MAX_CHARS) == "x" * MAX_CHARS
    assert list(clip_tokens(range(ROOM))) == list(range(ROOM))


def test_characters_come_from_both_ends() -> None:
    half = MAX_CHARS // 2
    assert head_and_tail("a" * half + "b" + "c" * half, MAX_CHARS) == "a" * half + " " + "c" * half


def test_tokens_come_from_both_ends_and_leave_room_for_the_special_two() -> None:
    clipped = list(clip_tokens(range(1000)))
    assert clipped == [*range(HEAD_TOKENS), *range(1000 - TAIL_TOKENS, 1000)]
    assert len(clipped) == ROOM


def test_clipping_twice_is_clipping_once() -> None:
    once = head_and_tail("".join(map(chr, range(97, 123))) * MAX_CHARS, MAX_CHARS)
    assert head_and_tail(once, MAX_CHARS) == once
