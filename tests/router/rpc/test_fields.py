"""Fields of an encoded message, counted before it is decoded."""

from __future__ import annotations

import random

import pytest
from adaptive_router.v1 import chat_pb2, router_pb2

from router.rpc import fields
from router.rpc.fields import MOST_FIELDS, has_few_fields
from tests.router.rpc.wire import chat, user

KIND = router_pb2.CompleteRequest.DESCRIPTOR
TOOL = chat_pb2.Tool(name="t", description="d", parameters="{}")


def encoded(**more: object) -> bytes:
    request = router_pb2.CompleteRequest(chat=chat(user("x" * 300), **more))
    request.routing.max_cost_usd = 1.5
    return request.SerializeToString()


@pytest.mark.parametrize("count", [1, 10, 128])
def test_as_many_as_there_are(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """chat, message, role, text, routing, cost; for each tool itself and its three fields."""
    body, there = encoded(tools=[TOOL] * count), 6 + 4 * count
    monkeypatch.setattr(fields, "MOST_FIELDS", there)
    assert has_few_fields(body, KIND)
    monkeypatch.setattr(fields, "MOST_FIELDS", there - 1)
    assert not has_few_fields(body, KIND)


def test_the_greatest_request_of_the_contract() -> None:
    part = chat_pb2.Part(image_url=chat_pb2.ImageUrl(url="https://a.example", detail="low"))
    called = chat_pb2.ToolCall(id="a", name="b", arguments="{}")
    messages = [
        chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[part] * 4, tool_calls=[called] * 4)
        for _ in range(1_024)
    ]
    request = router_pb2.CompleteRequest(chat=chat(*messages, tools=[TOOL] * 128))
    assert has_few_fields(request.SerializeToString(), KIND)


@pytest.mark.parametrize(
    "inner", [b"\x0a\x00", b"\x12\x00", b"\x42\x00", b"\x38\x01", b"\xfa\x01\x00"]
)
def test_many(inner: bytes) -> None:
    body = inner * (MOST_FIELDS + 1)
    assert not has_few_fields(body, chat_pb2.ChatRequest.DESCRIPTOR)


def test_what_is_no_message_ends_as_well() -> None:
    rng = random.Random(5)
    good = encoded(tools=[TOOL] * 20)
    for _ in range(500):
        assert has_few_fields(rng.randbytes(rng.randrange(400)), KIND)
        broken = bytearray(good[: rng.randrange(len(good))])
        if broken:
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        assert has_few_fields(bytes(broken), KIND)


def test_a_number_without_end() -> None:
    assert has_few_fields(b"\xff" * 4_000_000, KIND)
    assert has_few_fields(b"\x08" + b"\xff" * 4_000_000, KIND)
