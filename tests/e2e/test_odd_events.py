"""Streams of events whose bytes are not as one writes them oneself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.dialects import DIALECTS, Dialect
from tests.e2e.odd_answers import Odd, odd_router
from tests.e2e.wire import Reply, on_uvloop, raw

SAID = "Forty-two."
BOM = b"\xef\xbb\xbf"
Written = Callable[[list[bytes], bytes], tuple[bytes | float, ...]]


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def each(before: bytes, after: bytes) -> Written:
    return lambda data, end: tuple(before + d + after for d in [*data, *([end] if end else [])])


def one(join: Callable[[list[bytes]], bytes]) -> Written:
    return lambda data, end: (join([*data, *([end] if end else [])]),)


def cut(body: bytes, size: int) -> tuple[bytes | float, ...]:
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return tuple(p for piece in pieces for p in (piece, 0.0))


def usual(data: list[bytes]) -> bytes:
    return b"".join(b"data: " + d + b"\n\n" for d in data)


WRITTEN: dict[str, Written] = {
    "blank data": each(b"data:\n\ndata: \n\ndata: ", b"\n\n"),
    "no blank line at the end": one(lambda data: usual(data)[:-2]),
    "one line end at the end": one(lambda data: usual(data)[:-1]),
    "byte-order mark": one(lambda data: BOM + usual(data)),
    "byte-order mark before a comment": one(lambda data: BOM + b": hi\n\n" + usual(data)),
    "CR LF": each(b"event: any\r\ndata: ", b"\r\n\r\n"),
    "CR": each(b"event: any\rdata: ", b"\r\r"),
    "CR and LF mixed": each(b"event: any\r\ndata: ", b"\n\r\n"),
    "no space": each(b"data:", b"\n\n"),
    "spaces": each(b"data:    ", b"  \t\n\n"),
    "ids and retries": each(b"id: 7\nretry: 3000\nid\ndata: ", b"\n\n"),
    "comments": each(b": OPENROUTER PROCESSING\n\n:\ndata: ", b"\n: more\n\n"),
    "unknown fields": each(b"fancy: 1\nno colon at all\ndata: ", b"\n\n"),
    "event names": each(b"event: completion\ndata: ", b"\n\n"),
    "blank lines": each(b"\n\n\ndata: ", b"\n\n\n\n"),
    "words": each(b"data: ping\n\ndata: keep-alive\n\ndata: ", b"\n\n"),
    "pings": each(b'event: ping\ndata: {"type": "ping"}\n\ndata: ', b"\n\n"),
    "one line end between": each(b"data: ", b"\n"),
    "several lines of data": each(b"", b""),
    "byte by byte": lambda data, end: cut(usual([*data, *([end] if end else [])]), 1),
    "in threes, CR LF": lambda data, end: cut(
        usual([*data, *([end] if end else [])]).replace(b"\n", b"\r\n"), 3
    ),
    "in threes, CR": lambda data, end: cut(
        usual([*data, *([end] if end else [])]).replace(b"\n", b"\r"), 3
    ),
    "a cut event after the end": lambda data, _: (usual(data) + b'data: {"choi',),
    "an end with spaces": lambda data, _: (usual(data), b"data:   [DONE]  \n\n"),
    "an end with more": lambda data, _: (usual(data), b"data: [DONE]\n\n", b"data: {{{\n\n"),
    "no end mark": lambda data, _: (usual(data),),
}


def several_lines(data: list[bytes], end: bytes) -> tuple[bytes | float, ...]:
    """JSON over several lines of data is one event."""
    texts = [json.dumps(json.loads(d), indent=1).encode().split(b"\n") for d in data]
    made = [b"".join(b"data: " + line + b"\n" for line in lines) + b"\n" for lines in texts]
    return (*made, b"data: " + end + b"\n\n" if end else b"")


WRITTEN["several lines of data"] = several_lines


def written(spoken: Dialect, how: Written) -> Odd:
    finish = spoken.finishes["stop"]
    data = [json.dumps(body).encode() for body in spoken.pieces(["Forty", "-two."], None, finish)]

    def reply(_: object) -> Reply:
        return raw(*how(data, b"[DONE]" if spoken.end_mark else b""))

    return reply


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_events_are_read_as_clients_read_them(spoken: Dialect, tmp_path: Path) -> None:
    odd = {f"{name}": written(spoken, how) for name, how in WRITTEN.items()}
    async with odd_router(tmp_path, spoken, odd) as asker:
        for name in WRITTEN:
            # Who asked for a whole answer reads a stream where one comes.
            for seen in await asker.both(name):
                assert (name, seen.text, seen.finish) == (name, SAID, "STOP")
                assert (name, seen.tokens) == (name, (11, 7))


def ended(spoken: Dialect, *more: bytes, aborts: bool = False) -> Odd:
    """Returns a stream up to its end, then more of it, and no mark of the end."""
    data = [
        json.dumps(p).encode() for p in spoken.pieces(["Forty", "-two."], None, END[spoken.name])
    ]
    last = next(i for i, d in enumerate(data) if f'"{END[spoken.name]}"'.encode() in d)
    return lambda _: raw(usual(data[: last + 1]), *more, aborts=aborts)


END = {"openai": "stop", "anthropic": "end_turn", "gemini": "STOP", "responses": "completed"}


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_what_goes_wrong_after_the_end_spoils_nothing(
    spoken: Dialect, tmp_path: Path
) -> None:
    odd = {
        "nothing more": ended(spoken),
        "nonsense": ended(spoken, b"data: {{{\n\n"),
        "cut off": ended(spoken, b"data: {", aborts=True),
    }
    async with odd_router(tmp_path, spoken, odd) as asker:
        for name in odd:
            for seen in await asker.both(name):
                assert (name, seen.text, seen.finish) == (name, SAID, "STOP")


BROKEN: dict[str, Written] = {
    "a hole": lambda data, end: (usual([data[0], b'{"choices": [{"delta', *data[1:], end]),),
    "cut": lambda data, _: (usual(data[:-2])[:-2],),
    "cut within": lambda data, _: (usual(data[:-2]) + b"data: " + data[-1][:20],),
}


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_a_hole_in_a_stream_is_no_answer(spoken: Dialect, tmp_path: Path) -> None:
    odd = {name: written(spoken, how) for name, how in BROKEN.items()}
    async with odd_router(tmp_path, spoken, odd) as asker:
        for name in BROKEN:
            seen = await asker.live(name)
            assert seen.is_spare or seen.reason == "UNAVAILABLE", (name, seen)
            seen = await asker.whole(name)
            assert (name, seen.is_spare, seen.first.why) == (name, True, "provider_malformed")


IDLE = {
    "blank data": b"data:\n\n",
    "spaces": b"data:   \n\n",
    "pings": b'event: ping\ndata: {"type": "ping"}\n\n',
    "pings without a name": b'data: {"type":"ping"}\n\n',
    "comments": b": keep-alive\n\n",
    "retries": b"retry: 3000\n\n",
}


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@on_uvloop
async def test_what_says_nothing_keeps_no_stream_alive(spoken: Dialect, tmp_path: Path) -> None:
    finish = spoken.finishes["stop"]
    start = usual([json.dumps(spoken.pieces(["Forty"], None, finish)[0]).encode()])
    beats = {
        name: tuple(x for _ in range(400) for x in (beat, 0.02)) for name, beat in IDLE.items()
    }

    def reply(name: str) -> Odd:
        return lambda _: raw(start, *beats[name])

    odd = {name: reply(name) for name in IDLE}
    more = ", always_stream: true, between_bytes_ms: 300"
    async with odd_router(tmp_path, spoken, odd, more=more) as asker:
        for name in IDLE:
            seen = await asker.whole(name)
            assert (name, seen.is_spare or seen.reason) == (name, True)
