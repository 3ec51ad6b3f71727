"""A quiet tenant beside a loud one: many calls, calls without a request, bytes, work."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
import pytest
from adaptive_router.v1 import chat_pb2, router_pb2

from router.domain.chat import TextDelta
from router.domain.errors import QuotaExceeded, Unauthenticated
from router.domain.requests import Completion, RouteRequest
from router.domain.tenants import Tenant, TenantLimits
from router.doors.checks import reads_per_minute
from tests.router.rpc.wire import (
    DONE,
    GOOD,
    PATIENCE_S,
    ScriptedService,
    Wire,
    chat,
    details,
    refused,
    served,
    until,
    user,
)

COMPLETE = GOOD["Complete"]
PATH = "/adaptive_router.v1.RouterService/Complete"
LOUD, QUIET = "loud", "quiet"
MESSAGE_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class SharedService(ScriptedService):
    """A key is the name of its tenant. All but the quiet one are held; most: inside at once."""

    limits: dict[str, TenantLimits] = field(default_factory=dict)
    inside: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def authenticate(self, api_key: str) -> Tenant:
        if not api_key:
            raise Unauthenticated("send a valid API key")
        return Tenant(api_key, self.limits.get(api_key, TenantLimits()))

    async def complete(self, call: RouteRequest) -> Completion:
        name = call.tenant.name
        self.calls.append(call)
        self.inside[name] += 1
        self.most[name] = max(self.most[name], self.inside[name])
        try:
            if name != QUIET:
                await self.open.wait()
        finally:
            self.inside[name] -= 1
        if self.error:
            raise self.error
        return DONE


def of(tenant: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {tenant}"),)


def unsent(wire: Wire, tenant: str) -> grpc.aio.StreamUnaryCall:
    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    return wire.channel.stream_unary(PATH)(never(), metadata=of(tenant))


async def quiet_is_served(wire: Wire, calls: int = 20) -> None:
    async with (
        asyncio.timeout(PATIENCE_S),
        grpc.aio.insecure_channel(f"127.0.0.1:{wire.server.port}") as own,
    ):
        complete = own.unary_unary(
            PATH, COMPLETE.SerializeToString, router_pb2.CompleteResponse.FromString
        )
        for _ in range(calls):
            await complete(COMPLETE, metadata=of(QUIET))


async def reasons(calls: list[grpc.aio.Call]) -> Counter[str]:
    errors = await asyncio.gather(*map(refused, calls))
    return Counter(details(error)["ErrorInfo"].reason for error in errors)


async def test_slow_calls_of_one_tenant() -> None:
    service = SharedService()
    async with served(service) as wire:
        calls = [wire.stub.Complete(COMPLETE, metadata=of(LOUD)) for _ in range(270)]
        await until(lambda: sum(call.done() for call in calls) + service.inside[LOUD] == 270)
        assert service.inside[LOUD] == wire.server.load() == 192
        assert await reasons([c for c in calls if c.done()]) == {"OVERLOADED": 78}
        await quiet_is_served(wire)
        service.open.set()
        await asyncio.gather(*(c for c in calls if not c.done()))
        await until(lambda: not wire.server.load())


async def test_slow_calls_of_many_tenants_leave_room() -> None:
    service = SharedService()
    async with served(service, max_in_flight=64) as wire:
        loud = [f"loud{i}" for i in range(5)]
        calls = [wire.stub.Complete(COMPLETE, metadata=of(t)) for _ in range(40) for t in loud]
        await until(lambda: sum(c.done() for c in calls) + service.inside.total() == len(calls))
        each = [service.inside[name] for name in loud]
        assert min(each) >= 8, each
        await quiet_is_served(wire)
        service.open.set()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_calls_whose_requests_never_come() -> None:
    async with served(SharedService(), body_timeout_ms=2_000) as wire:
        calls = [unsent(wire, LOUD) for _ in range(270)]
        await until(lambda: wire.server.under_way >= 16)
        assert not wire.server.load()
        await quiet_is_served(wire)
        async with asyncio.timeout(PATIENCE_S):
            found = await reasons(calls)
        assert set(found) == {"OVERLOADED", "DEADLINE_EXCEEDED"}
        await quiet_is_served(wire)


async def test_large_requests_wait_for_room_and_are_bounded_in_bytes() -> None:
    """16 messages of the greatest size in all, 12 of them for one tenant."""
    service = SharedService()
    large = router_pb2.CompleteRequest(
        chat=chat(
            chat_pb2.Message(
                role=chat_pb2.ROLE_USER,
                parts=[
                    chat_pb2.Part(
                        image_url=chat_pb2.ImageUrl(url="data:image/png;base64," + "A" * n)
                    )
                    for n in (1_990_000, 1_990_000)
                ],
            )
        )
    )
    async with served(service, body_timeout_ms=3_000) as wire:
        calls = [wire.stub.Complete(large, metadata=of(LOUD)) for _ in range(60)]
        await until(lambda: service.inside[LOUD] >= 12)
        await quiet_is_served(wire)
        async with asyncio.timeout(PATIENCE_S):
            await until(lambda: sum(c.done() for c in calls) + service.inside[LOUD] == 60)
        assert service.most[LOUD] in (12, 13)  # they are a little smaller than the greatest
        assert set(await reasons([c for c in calls if c.done()])) == {"OVERLOADED"}
        service.open.set()
        await asyncio.gather(*(c for c in calls if not c.done()))


async def test_a_tenant_over_its_requests_a_minute_is_refused_before_its_request_is_sent() -> None:
    said = QuotaExceeded("q", quota="requests_per_minute", subject=LOUD, retry_after_ms=30_000)
    limits = {LOUD: TenantLimits(requests_per_minute=1)}
    service = SharedService(error=said, limits=limits)
    service.open.set()
    async with served(service) as wire:
        await refused(wire.stub.Complete(COMPLETE, metadata=of(LOUD)))
        async with asyncio.timeout(PATIENCE_S):
            error = await refused(unsent(wire, LOUD))
        found = details(error)
        assert found["ErrorInfo"].reason == "QUOTA_EXCEEDED"
        assert found["ErrorInfo"].metadata["quota"] == "requests_per_minute"
        assert 0 < found["RetryInfo"].retry_delay.ToMilliseconds() <= 30_000
        assert len(service.calls) == 1
        feedback = wire.stub.Feedback(GOOD["Feedback"], metadata=of(LOUD))
        assert (await refused(feedback)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # scripted
        assert service.reports


async def test_mistakes_count_as_well() -> None:
    service = SharedService(limits={LOUD: TenantLimits(requests_per_minute=1)})
    wrong = router_pb2.CompleteRequest(chat=chat(user("")))
    async with served(service) as wire:
        calls = [wire.stub.Complete(wrong, metadata=of(LOUD)) for _ in range(30)]
        found = await reasons(calls)
        assert found == {"INVALID_REQUEST": reads_per_minute(1), "QUOTA_EXCEEDED": 18}
        assert not service.calls


async def test_a_stream_that_nobody_reads_gives_its_place_back() -> None:
    """Its caller stays, reads nothing and has no deadline."""
    service = ScriptedService(items=(TextDelta("x" * 1_000_000),) * 1_000)
    async with served(service, stall_ms=100) as wire:
        key = (("authorization", "Bearer ar_test"),)
        call = wire.stub.StreamComplete(GOOD["StreamComplete"], metadata=key)
        await until(lambda: wire.observed)
        assert wire.observed == [("StreamComplete", "DEADLINE_EXCEEDED")]
        assert not wire.server.load()
        assert not wire.server.under_way
        assert not call.done()
        call.cancel()


def fresh_schema(number: int) -> str:
    properties = {f"p{number}_{i}": {"type": "string"} for i in range(1_700)}
    return json.dumps({"type": "object", "properties": properties})


async def test_floods_of_new_schemas() -> None:
    service = SharedService()
    service.open.set()
    async with served(service) as wire:

        def flood(number: int) -> grpc.aio.Call:
            tool = chat_pb2.Tool(name="t", parameters=fresh_schema(number))
            request = router_pb2.CompleteRequest(chat=chat(tools=[tool]))
            return wire.stub.Complete(request, metadata=of(LOUD))

        calls = [flood(number) for number in range(100)]
        await quiet_is_served(wire)
        assert sum(call.done() for call in calls) < len(calls)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*calls)


BOMBS = {
    "messages": b"\x0a\x00" * 1_500_000,
    "tools": b"\x12\x00" * 1_500_000,
    "stops": b"\x42\x00" * 1_500_000,
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_small_request_of_many_fields(name: str) -> None:
    inner = BOMBS[name]
    length, size = len(inner), b""
    while length > 0x7F:
        size += bytes((length & 0x7F | 0x80,))
        length >>= 7
    body = b"\x0a" + size + bytes((length,)) + inner
    service = SharedService()
    async with served(service) as wire:
        call = wire.channel.unary_unary(PATH)(body, metadata=of(LOUD))
        async with asyncio.timeout(PATIENCE_S):
            found = details(await refused(call))
        assert found["ErrorInfo"].reason == "INVALID_REQUEST"
        assert "fields" in found["BadRequest"].field_violations[0].description
        assert not service.calls
        await quiet_is_served(wire)


COSTLY = {
    "chat.messages": chat(
        *(
            chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[chat_pb2.Part(text="x")] * 64)
            for _ in range(65)
        )
    ),
    "chat.messages.tool_calls": chat(
        user(),
        *(
            chat_pb2.Message(
                role=chat_pb2.ROLE_ASSISTANT,
                tool_calls=[chat_pb2.ToolCall(id="a", name="b")] * 128,
            )
            for _ in range(33)
        ),
        user(),
    ),
}


@pytest.mark.parametrize("name", COSTLY)
async def test_too_many_small_things_are_not_looked_at(name: str) -> None:
    async with served(SharedService()) as wire:
        request = router_pb2.CompleteRequest(chat=COSTLY[name])
        found = details(await refused(wire.stub.Complete(request, metadata=of(LOUD))))
        assert [v.field for v in found["BadRequest"].field_violations] == [name]


async def test_the_arguments_of_calls_are_bounded_before_they_are_parsed() -> None:
    arguments = '{"a": [' + "[]," * 500_000 + "1]}"
    call = chat_pb2.ToolCall(id="a", name="b", arguments=arguments)
    past = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, tool_calls=[call])
    async with served(SharedService()) as wire:
        request = router_pb2.CompleteRequest(chat=chat(user(), past, user()))
        found = details(await refused(wire.stub.Complete(request, metadata=of(LOUD))))
        assert found["ErrorInfo"].reason == "PROMPT_TOO_LONG"


@pytest.mark.parametrize(
    "arguments", ['{"a": [' + "1," * 9_000 + "1]}", "{}", '{"a": "' + "é" * 20_000 + '"}']
)
async def test_long_arguments_that_are_in_order(arguments: str) -> None:
    call = chat_pb2.ToolCall(id="a", name="b", arguments=arguments)
    past = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, tool_calls=[call])
    async with served(SharedService()) as wire:
        request = router_pb2.CompleteRequest(chat=chat(user(), past, user()))
        assert await wire.stub.Complete(request, metadata=of(QUIET))


@pytest.mark.parametrize("arguments", ['{"a": [' + "1," * 9_000 + "1}", "[" + "1," * 9_000 + "1]"])
async def test_long_arguments_that_are_not(arguments: str) -> None:
    call = chat_pb2.ToolCall(id="a", name="b", arguments=arguments)
    past = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, tool_calls=[call])
    async with served(SharedService()) as wire:
        request = router_pb2.CompleteRequest(chat=chat(user(), past, user()))
        found = details(await refused(wire.stub.Complete(request, metadata=of(QUIET))))
        fields = [v.field for v in found["BadRequest"].field_violations]
        assert fields == ["chat.messages[1].tool_calls[0].arguments"]
