from __future__ import annotations

import pytest

from router.adapters.providers.sse import EventReader
from router.domain.errors import ProviderMalformed

BODY = (
    b": a comment\r\n\r\n"
    b"event: message\ndata: one\nid: 7\n\n"
    b"data:two\r\ndata: lines\r\n\r\n"
    b'data\n\ndata: {"a": "\xe2\x80\xa8"}\n\n'
    b"data: never ended"
)
EVENTS = [b"one", b"two\nlines", b'{"a": "\xe2\x80\xa8"}']


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
def test_events_do_not_depend_on_where_the_body_is_cut(size: int) -> None:
    reader = EventReader(1_000)
    chunks = [BODY[at : at + size] for at in range(0, len(BODY), size)]
    assert [event for chunk in chunks for event in reader.feed(chunk)] == EVENTS


def test_the_whole_body_is_bounded() -> None:
    reader = EventReader(10)
    assert list(reader.feed(b"data: 1\n\n")) == [b"1"]
    assert list(reader.feed(b"x")) == []
    with pytest.raises(ProviderMalformed):
        list(reader.feed(b"x"))


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_comments_and_blank_lines_say_nothing(size: int) -> None:
    reader = EventReader(1_000)

    def says(body: bytes) -> bool:
        reader.said = False
        for at in range(0, len(body), size):
            list(reader.feed(body[at : at + size]))
        return reader.said

    assert not says(b": keep-alive\r\n\r\n:\n\n: half a comm")
    assert not says(b"ent\n\n\n")
    assert says(b"data: one\n\n")
    assert says(b"event: mess")
    assert says(b"age\n\n")
    assert not says(b": keep-alive\n\n")
