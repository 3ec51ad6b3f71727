"""Who is let in and how many, what a caller who leaves leaves behind, and how it all ends."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from adaptive_router.v1 import router_pb2, router_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from router.domain.chat import TextDelta
from router.domain.errors import PortTaken
from router.rpc.health import HealthReporter
from router.rpc.open_calls import OPEN_UNSENT
from router.rpc.server import RouterServer, ServerSettings
from tests.router.rpc.wire import (
    GOOD,
    METADATA,
    PATIENCE_S,
    FixedService,
    ScriptedService,
    Wire,
    chat,
    details,
    refused,
    served,
    until,
    user,
)

Code = grpc.StatusCode
Health = health_pb2.HealthCheckResponse
COMPLETE, STREAM = GOOD["Complete"], GOOD["StreamComplete"]
REFLECT = "reflection.v1alpha.ServerReflection/ServerReflectionInfo"
OURS = "adaptive_router.v1.RouterService"


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Bearer wrong"),),
        (("authorization", "Bearer "),),
        (("authorization", "Basic ar_test"),),
        (("authorization", "ar_test"),),
        (("x-authorization", "Bearer ar_test"),),
    ],
)
async def test_no_key_no_answer(wire: Wire, metadata: tuple[tuple[str, str], ...]) -> None:
    for method, request in GOOD.items():
        call = getattr(wire.stub, method)(request, metadata=metadata)
        error = await refused(call.read() if method == "StreamComplete" else call)
        assert error.code() is Code.UNAUTHENTICATED
        assert details(error)["ErrorInfo"].reason == "UNAUTHENTICATED"
        assert "ar_test" not in error.details()
    assert not wire.service.calls
    assert not wire.service.reports
    assert await wire.send("Complete", COMPLETE)


async def test_the_key_comes_before_the_body(wire: Wire) -> None:
    """Nobody without a key learns anything of the contract, or has a request decoded."""
    for request in (router_pb2.CompleteRequest(), router_pb2.CompleteRequest(chat=chat(user("")))):
        assert (await refused(wire.stub.Complete(request))).code() is Code.UNAUTHENTICATED


async def test_the_scheme_is_written_as_one_likes(wire: Wire) -> None:
    await wire.stub.Complete(COMPLETE, metadata=(("authorization", "bEARER  ar_test "),))
    assert len(wire.service.calls) == 1


async def test_an_unknown_method(wire: Wire) -> None:
    for path in (f"/{OURS}/Ghost", "/other.v1.OtherService/Complete"):
        error = await refused(wire.channel.unary_unary(path)(b"", metadata=METADATA))
        assert error.code() is Code.UNIMPLEMENTED
    assert await wire.send("Complete", COMPLETE)


async def test_a_message_over_the_size_limit() -> None:
    async with served(max_message_bytes=10_000) as wire:
        big = router_pb2.CompleteRequest(chat=chat(user("x" * 10_000)))
        assert (await refused(wire.send("Complete", big))).code() is Code.RESOURCE_EXHAUSTED
        assert not wire.service.calls
        fits = router_pb2.CompleteRequest(chat=chat(user("x" * 9_900)))
        assert await wire.send("Complete", fits)


def unsent(wire: Wire, path: str, **options: object) -> grpc.aio.StreamUnaryCall:
    """A call whose request never comes."""

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    return wire.channel.stream_unary(path)(never(), **options)


@pytest.mark.parametrize("method", ["Complete", "StreamComplete"])
async def test_nobody_without_a_key_has_a_request_read(wire: Wire, method: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        error = await refused(unsent(wire, f"/{OURS}/{method}"))
    assert error.code() is Code.UNAUTHENTICATED


async def test_a_request_that_never_comes_takes_room_and_is_let_go() -> None:
    async with served(max_in_flight=1, max_body_bytes=4_194_304, body_timeout_ms=2_000) as wire:
        calls = [unsent(wire, f"/{OURS}/Complete", metadata=METADATA) for _ in range(2)]
        async with asyncio.timeout(PATIENCE_S):
            errors = await asyncio.gather(*map(refused, calls))
        reasons = {details(error)["ErrorInfo"].reason for error in errors}
        assert reasons == {"OVERLOADED", "DEADLINE_EXCEEDED"}
        assert await wire.send("Complete", COMPLETE)


@pytest.mark.parametrize("method", ["health.v1.Health/Check", "health.v1.Health/Watch", REFLECT])
async def test_of_requests_without_a_key_that_never_come_the_oldest_makes_room(
    wire: Wire, method: str
) -> None:
    calls = [unsent(wire, f"/grpc.{method}") for _ in range(OPEN_UNSENT + 3)]
    await until(lambda: sum(call.done() for call in calls) >= 3)
    assert sum(call.done() for call in calls) == 3
    assert (await refused(next(c for c in calls if c.done()))).code() is Code.DEADLINE_EXCEEDED
    async with grpc.aio.insecure_channel(f"127.0.0.1:{wire.server.port}") as probe:
        stub = health_pb2_grpc.HealthStub(probe)
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == Health.SERVING


async def test_one_connection_has_a_bounded_number_of_streams() -> None:
    async with served(max_in_flight=7) as wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.server.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
        async with asyncio.timeout(PATIENCE_S):
            head = await reader.readexactly(9)
            settings = await reader.readexactly(int.from_bytes(head[:3]))
        writer.close()
        assert head[3] == 4  # SETTINGS
        assert (3, 7 + OPEN_UNSENT) in struct.iter_unpack(">HI", settings)


async def test_a_full_house() -> None:
    service = ScriptedService(hold=asyncio.Event())
    async with served(service, max_in_flight=2) as wire:
        inside = [wire.start("Complete", COMPLETE) for _ in range(2)]
        await until(lambda: len(service.calls) == 2)
        for method in ("Complete", "StreamComplete"):
            error = await refused(wire.send(method, GOOD[method]))
            assert error.code() is Code.RESOURCE_EXHAUSTED
            found = details(error)
            assert found["ErrorInfo"].reason == "OVERLOADED"
            assert found["RetryInfo"].retry_delay.ToMilliseconds() > 0
        assert len(service.calls) == 2
        service.hold.set()
        await asyncio.gather(*inside)
        assert await wire.send("Complete", COMPLETE)


async def test_a_caller_who_cancels_reaches_the_service() -> None:
    service = ScriptedService(hold=asyncio.Event())
    async with served(service) as wire:
        call = wire.start("Complete", COMPLETE)
        await service.entered.wait()
        call.cancel()
        async with asyncio.timeout(PATIENCE_S):
            await service.left.wait()
        await until(lambda: wire.observed)
        assert wire.observed == [("Complete", "CANCELLED")]


async def test_a_caller_who_leaves_a_stream_reaches_the_service() -> None:
    service = ScriptedService(hold=asyncio.Event())
    async with served(service) as wire:
        call = wire.start("StreamComplete", STREAM)
        assert (await call.read()).text_delta == "Forty-"
        await service.entered.wait()
        assert not service.left.is_set()
        call.cancel()
        async with asyncio.timeout(PATIENCE_S):
            await service.left.wait()
        await until(lambda: wire.observed)
        assert wire.observed == [("StreamComplete", "CANCELLED")]
        service.hold.set()
        assert len(await wire.send("StreamComplete", STREAM)) == 3


async def test_a_caller_who_never_reads_is_let_go() -> None:
    service = ScriptedService(items=(TextDelta("x" * 1_000_000),) * 1_000)
    async with served(service, stall_ms=50) as wire:
        call = wire.start("StreamComplete", STREAM)
        async with asyncio.timeout(PATIENCE_S):
            await service.left.wait()
        call.cancel()
        await until(lambda: wire.observed)
        assert wire.observed == [("StreamComplete", "DEADLINE_EXCEEDED")]


async def test_a_caller_who_leaves_while_a_message_is_on_its_way() -> None:
    """It reads nothing, so the server stands in a write when the caller goes."""
    service = ScriptedService(items=(TextDelta("x" * 1_000_000),) * 1_000)
    async with served(service) as wire:
        call = wire.start("StreamComplete", STREAM)
        await until(lambda: service.calls)
        await asyncio.sleep(0.1)
        assert not service.left.is_set()
        call.cancel()
        async with asyncio.timeout(PATIENCE_S):
            await service.left.wait()
        assert service.tidy
        await until(lambda: wire.observed)
        assert wire.observed == [("StreamComplete", "CANCELLED")]


async def test_a_deadline_is_passed_on(wire: Wire) -> None:
    before_s = time.time()
    await wire.stub.Complete(COMPLETE, metadata=METADATA, timeout=300)
    await wire.stub.Complete(COMPLETE, metadata=METADATA)
    bounded, free = wire.service.calls
    assert before_s + 299 < bounded.deadline_s < time.time() + 301
    assert free.deadline_s is None


async def test_a_deadline_that_passes_reaches_the_service() -> None:
    service = ScriptedService(hold=asyncio.Event())
    async with served(service) as wire:
        error = await refused(wire.stub.Complete(COMPLETE, metadata=METADATA, timeout=0.3))
        assert error.code() is Code.DEADLINE_EXCEEDED
        async with asyncio.timeout(PATIENCE_S):
            await service.left.wait()


async def status(wire: Wire, component: str) -> int:
    """Without a key: probes have none."""
    stub = health_pb2_grpc.HealthStub(wire.channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=component))).status


async def test_health_names_components_and_the_whole_needs_the_required_ones(wire: Wire) -> None:
    await wire.health.set("providers", serving=False)
    for name, expected in {
        "": Health.SERVING,
        OURS: Health.SERVING,
        "redis": Health.SERVING,
        "embedder": Health.SERVING,
        "providers": Health.NOT_SERVING,
    }.items():
        assert await status(wire, name) == expected, name
    for component in ("redis", "embedder"):
        for serving in (False, True):
            await wire.health.set(component, serving=serving)
            expected = Health.SERVING if serving else Health.NOT_SERVING
            for name in ("", OURS, component):
                assert await status(wire, name) == expected


async def test_health_of_what_nobody_knows(wire: Wire) -> None:
    assert (await refused(status(wire, "ghost"))).code() is Code.NOT_FOUND


async def test_the_whole_serves_only_once_all_required_ones_do() -> None:
    reporter = HealthReporter()
    for component, whole in (("redis", Health.NOT_SERVING), ("embedder", Health.SERVING)):
        await reporter.set(component, serving=True)
        request = health_pb2.HealthCheckRequest(service="")
        assert (await reporter.Check(request, None)).status == whole


async def test_a_watch_is_told_of_changes_and_of_the_end() -> None:
    async with served(drain_ms=60_000) as wire:
        stub = health_pb2_grpc.HealthStub(wire.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watch.read()).status == Health.SERVING
        await wire.health.set("redis", serving=False)
        assert (await watch.read()).status == Health.NOT_SERVING
        await wire.health.set("redis", serving=True)
        assert (await watch.read()).status == Health.SERVING
        # A watch has no end of its own: it must not hold the server for all the drain time.
        async with asyncio.timeout(PATIENCE_S):
            await wire.server.stop()
        assert (await watch.read()).status == Health.NOT_SERVING


async def test_a_watcher_who_reads_nothing_holds_up_neither_a_change_nor_the_end() -> None:
    class Stuck:
        def __init__(self) -> None:
            self.writing = asyncio.Event()

        async def write(self, _: object) -> None:
            self.writing.set()
            await asyncio.Event().wait()

    reporter, context = HealthReporter(), Stuck()
    request = health_pb2.HealthCheckRequest(service="redis")
    watch = asyncio.create_task(reporter.Watch(request, context))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await context.writing.wait()
            await reporter.set("redis", serving=True)
            assert (await reporter.Check(request, None)).status == Health.SERVING
            reporter.drain()
            assert (await reporter.Check(request, None)).status == Health.NOT_SERVING
    finally:
        watch.cancel()


async def test_a_change_while_a_watcher_reads_is_told_after_it() -> None:
    class Slow:
        def __init__(self) -> None:
            self.told: list[int] = []

        async def write(self, answer: Health) -> None:
            self.told.append(answer.status)
            if len(self.told) == 1:
                await reporter.set("redis", serving=True)

    reporter, context = HealthReporter(), Slow()
    request = health_pb2.HealthCheckRequest(service="redis")
    watch = asyncio.create_task(reporter.Watch(request, context))
    try:
        await until(lambda: len(context.told) == 2)
        assert context.told == [Health.SERVICE_UNKNOWN, Health.SERVING]
    finally:
        watch.cancel()


async def test_reflection_lists_the_service(wire: Wire) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(wire.channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=OURS),
    ]
    listed, found = [answer async for answer in stub.ServerReflectionInfo(iter(asked))]
    names = {service.name for service in listed.list_services_response.service}
    assert {OURS, "grpc.health.v1.Health"} <= names
    assert found.file_descriptor_response.file_descriptor_proto


async def test_what_is_under_way_is_let_end_and_nothing_new_is_let_in() -> None:
    service = ScriptedService(hold=asyncio.Event())
    async with served(service, drain_ms=60_000) as wire:
        calls = [wire.start("Complete", COMPLETE), wire.start("StreamComplete", STREAM)]
        await until(lambda: len(service.calls) == 2)
        stopping = asyncio.create_task(wire.server.stop())
        await until(lambda: wire.channel.get_state() is not grpc.ChannelConnectivity.READY)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{wire.server.port}") as late:
            stub = router_pb2_grpc.RouterServiceStub(late)
            error = await refused(stub.Complete(COMPLETE, metadata=METADATA))
        assert error.code() is Code.UNAVAILABLE
        assert not stopping.done()
        service.hold.set()
        assert (await calls[0]).receipt.decision_id == "d1"
        assert len([item async for item in calls[1]]) == 3
        async with asyncio.timeout(PATIENCE_S):
            await stopping
        assert len(service.calls) == 2


async def test_what_outlasts_the_drain_time_is_cut_off() -> None:
    service = ScriptedService(hold=asyncio.Event())
    async with served(service, drain_ms=200) as wire:
        call = wire.start("Complete", COMPLETE)
        await service.entered.wait()
        async with asyncio.timeout(PATIENCE_S):
            await wire.server.stop()
        assert service.left.is_set()
        error = await refused(call)
        assert error.code() is Code.UNAVAILABLE
        found = details(error)
        assert found["ErrorInfo"].reason == "SHUTTING_DOWN"
        assert found["RetryInfo"].retry_delay.ToMilliseconds() > 0
        async with asyncio.timeout(PATIENCE_S):
            while not wire.observed:  # its end may be told after its error
                await asyncio.sleep(0.01)
        assert wire.observed == [("Complete", "SHUTTING_DOWN")]


async def test_an_idle_server_stops_twice() -> None:
    async with served(drain_ms=60_000) as wire:
        async with asyncio.timeout(PATIENCE_S):
            await wire.server.stop()
            await wire.server.stop()


async def test_a_taken_port_is_named(wire: Wire) -> None:
    settings = ServerSettings(port=wire.server.port)
    with pytest.raises(PortTaken, match=str(wire.server.port)):
        RouterServer(FixedService(ScriptedService()), HealthReporter(), lambda *_: None, settings)
    assert await wire.send("Complete", COMPLETE)
