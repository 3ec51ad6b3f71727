"""An operator's first run with each usual mistake: what the caller hears, what the log says."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from adaptive_router.v1 import router_pb2, router_pb2_grpc
from google.rpc import error_details_pb2

from demo.stack import free_port
from tests.contract.dialects import DIALECTS
from tests.e2e.conftest import chat
from tests.e2e.details import detail
from tests.e2e.ledger import upstream
from tests.e2e.refusals import KEY_TEXT, OF_THE_ACCOUNT, OF_THE_REQUEST, SECRET, replied
from tests.e2e.wire import Reply, Wire, on_uvloop, raw, whole

WAIT_S = 60.0
KEY = "sk-made-up-key-of-a-test"
PROMPT = "Who wrote the Iliad, in a word?"
NAMES = [spoken.name for spoken in DIALECTS]
AWAY = ("UNAVAILABLE", "ALL_ATTEMPTS_FAILED")
ACCOUNT = ("FAILED_PRECONDITION", "PROVIDER_ACCOUNT_FAULT")


@dataclass(frozen=True, slots=True)
class Mistake:
    """hears: status and reason. warned: words of the one warning, () where there is none.

    logged: words of the line of each failed attempt.
    """

    hears: tuple[str, str]
    logged: tuple[str, ...]
    warned: tuple[str, ...] = ()
    reply: Reply | None = None
    base: str = "http://127.0.0.1:{port}{path}"


def mistakes(provider: str) -> dict[str, Mistake]:
    """Returns what is tried with one protocol, by the name of its arm."""
    made: dict[str, Mistake] = {}
    for name, (reason, told) in OF_THE_REQUEST.items():
        one = told[provider]
        said = (reason.lower(), f"status {one.status}", f"code {one.code or '-'}")
        made[name] = Mistake(("INVALID_ARGUMENT", reason), said[1:], reply=replied(one))
    for name, (why, told) in OF_THE_ACCOUNT.items():
        one = told[provider]
        said = (why, f"status {one.status}", f"code {one.code or '-'}")
        made[name] = Mistake(ACCOUNT, said, (*said, "mend its key"), reply=replied(one))
    return made | {
        "port": Mistake(
            AWAY,
            ("code connection_refused",),
            ("can't be reached: connection_refused",),
            base="http://127.0.0.1:{free}{path}",
        ),
        "tls": Mistake(
            AWAY,
            ("code no_tls",),
            ("can't be reached: no_tls",),
            base="https://127.0.0.1:{port}{path}",
        ),
        "noise": Mistake(AWAY, ("code no_http",)),
        "left": Mistake(AWAY, ("code closed_unanswered",), reply=Reply(silent=True)),
        "busy": Mistake(AWAY, ("status 503",), reply=whole({"error": {"message": SECRET}}, 503)),
        "other": Mistake(AWAY, ("provider_malformed",), reply=whole({"done": True})),
        "hangs": Mistake(AWAY, ("provider_timeout",), reply=raw(b" ", 60.0)),
    }


@dataclass(slots=True)
class Site:
    """stub: of a router that runs as a process. lines: its log so far."""

    stub: router_pb2_grpc.RouterServiceStub
    lines: list[dict[str, Any]]

    async def refusal(self, arm: str) -> grpc.aio.AioRpcError:
        routing = router_pb2.RoutingOptions(arm=arm)
        request = router_pb2.CompleteRequest(chat=chat(PROMPT), routing=routing)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.stub.Complete(request, timeout=WAIT_S)
        return caught.value

    async def until(self, found: Callable[[], Any]) -> Any:
        async with asyncio.timeout(WAIT_S):
            while not (result := found()):
                await asyncio.sleep(0.02)
        return result

    def said(self, word: str, level: str) -> list[str]:
        return [
            line["event"]
            for line in self.lines
            if line.get("level") == level and f" {word}" in str(line["event"])
        ]


@asynccontextmanager
async def serving(folder: Path, provider: str) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        port, text = free_port(), ""
        for arm, mistake in mistakes(provider).items():
            reply = mistake.reply
            wire = Wire(lambda _, reply=reply: reply, provider)
            if arm in ("noise", "tls"):
                wire.port = await stack.enter_async_context(noisy())
            else:
                await stack.enter_async_context(upstream(wire))
            path = "/v1" if provider == "openai" else ""
            url = mistake.base.format(port=wire.port, path=path, free=free_port())
            price = "{input_usd_per_mtok: 1, output_usd_per_mtok: 10}"
            text += (
                f"  {arm.replace(' ', '-')}: {{deployments: [{{name: at-{arm.replace(' ', '-')},"
                f" provider: {provider}, model: m, base_url: '{url}', api_key_env: LLM_KEY,"
                f" timeout_ms: {1_500 if arm == 'hangs' else 30_000}, price: {price}}}]}}\n"
            )
        config = folder / "router.yaml"
        config.write_text(
            f"server: {{port: {port}, metrics_port: 0}}\nauth: {{required: no}}\n"
            f"redis: {{embedded: {{data_dir: {folder}/redis, appendfsync: everysec}}}}\n"
            f"embedding: {{workers: 1}}\nlearning: {{embedded: no}}\narms:\n{text}"
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "router", "serve", "--config", str(config)),
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"LLM_KEY": KEY, "NO_PROXY": "*"},
        )
        lines: list[dict[str, Any]] = []
        reading = asyncio.create_task(read(process.stderr, lines))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        site = Site(router_pb2_grpc.RouterServiceStub(channel), lines)
        try:
            await site.until(lambda: [x for x in lines if x["event"] == "started"])
            yield site
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), WAIT_S)
            await reading


async def read(stream: asyncio.StreamReader | None, lines: list[dict[str, Any]]) -> None:
    assert stream is not None
    async for line in stream:
        lines.append(json.loads(line))  # noqa: PERF401 - each is looked at as it comes


@asynccontextmanager
async def noisy() -> AsyncIterator[int]:
    """A server that speaks something else, as mail servers do."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"220 mail.example ESMTP ready\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("provider", NAMES)
@on_uvloop
async def test_each_mistake_is_told_to_the_caller_and_in_the_log(
    provider: str, tmp_path: Path, model_dir: Path
) -> None:
    assert model_dir
    async with serving(tmp_path, provider) as site:
        for arm, mistake in mistakes(provider).items():
            name = arm.replace(" ", "-")
            error = await site.refusal(name)
            for _ in range(2 if mistake.warned else 0):
                await site.refusal(name)  # what was warned of is not warned of again
            info = detail(error, error_details_pb2.ErrorInfo())
            assert (error.code().name, info.reason) == mistake.hears, arm
            said = await site.until(lambda name=name: site.said(f"at-{name}", "info"))
            assert all(word in said[0] for word in mistake.logged), (arm, said)
            warned = site.said(f"at-{name}", "warning")
            assert len(warned) == bool(mistake.warned), (arm, warned)
            assert all(word in warned[0] for word in mistake.warned), (arm, warned)
        written = json.dumps(site.lines)
    assert not [word for word in (KEY, KEY_TEXT, SECRET, PROMPT) if word in written]
