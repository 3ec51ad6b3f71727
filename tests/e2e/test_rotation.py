"""Files of keys that are written anew while requests are served, by each way there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.upstream import served_app
from router.app.reloading import ConfigSource
from router.app.server import running_router
from router.config import load_config
from router.domain.tenants import Tenant, hash_key
from tests.e2e.conftest import ARMS, KEY, Router, until


@dataclass(slots=True)
class Door:
    """A provider that takes one key and keeps what it was sent."""

    key: str = "key-1"
    sent: list[str] = field(default_factory=list)

    async def complete(self, request: Request) -> Response:
        self.sent.append(request.headers.get("authorization", ""))
        if self.sent[-1] != f"Bearer {self.key}":
            return JSONResponse({"error": {"message": "wrong key"}}, status_code=401)
        message = {"role": "assistant", "content": "Yes."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 1}
        return JSONResponse({"model": "m", "choices": [choice], "usage": usage})


def opened(door: Door) -> AbstractAsyncContextManager[int]:
    app = Starlette(routes=[Route("/v1/chat/completions", door.complete, methods=["POST"])])
    return served_app(app)


@dataclass(slots=True)
class Site:
    """folder: a mounted Secret: `key` is a link to `..data/key`, `..data` one to a folder."""

    router: Router
    door: Door
    folder: Path
    config: Path
    logged: list[MutableMapping[str, Any]]

    def told(self) -> list[MutableMapping[str, Any]]:
        """Lines of the log about the config."""
        return [line for line in self.logged if line["event"].startswith("config_")]

    async def is_refused(self) -> bool:
        return any(line["event"] == "config_refused" for line in self.told())

    async def sent(self, key: str, texts: Iterator[str]) -> bool:
        """Return whether a request is sent with this key by now."""
        before = len(self.door.sent)
        try:
            await self.router.complete(next(texts), arm="cheap", no_cache=True)
        except grpc.aio.AioRpcError:
            return False
        return self.door.sent[before:] == [f"Bearer {key}"]


def mounted(folder: Path, number: int, key: str) -> None:
    """Write a Secret as the kubelet does: a fresh folder, and one link swapped."""
    fresh = folder / f"..{number}"
    fresh.mkdir(parents=True)
    (fresh / "key").write_text(key)
    link = folder / "..data_tmp"
    link.symlink_to(fresh.name)
    link.rename(folder / "..data")
    if not (folder / "key").is_symlink():
        (folder / "key").symlink_to("..data/key")


@pytest_asyncio.fixture
async def site(
    request: pytest.FixtureRequest, tmp_path: Path, config: Callable[..., str]
) -> AsyncIterator[Site]:
    request.getfixturevalue("model_dir")
    folder, door = tmp_path / "secret", Door()
    mounted(folder, 1, "key-1")
    async with AsyncExitStack() as stack:
        logged = stack.enter_context(structlog.testing.capture_logs())
        port = await stack.enter_async_context(opened(door))
        text = config(tmp_path, dict.fromkeys(ARMS, port), images=f", api_key_file: {folder}/key")
        path = tmp_path / "router.yaml"
        path.write_text(text.replace("metrics_port: 0", "metrics_port: 0, reload_ms: 100"))
        running = await stack.enter_async_context(
            running_router(load_config(path, {}), {}, ConfigSource(path))
        )
        channel = await stack.enter_async_context(
            grpc.aio.insecure_channel(f"127.0.0.1:{running.port}")
        )
        await running.storage.tenants.create(Tenant("test"), hash_key(KEY))
        yield Site(Router(running.port, channel, {}, running.storage), door, folder, path, logged)


def swapped(site: Site, key: str) -> None:
    mounted(site.folder, 2, key)


def overwritten(site: Site, key: str) -> None:
    (site.folder / "..1" / "key").write_text(key)


def renamed_over(site: Site, key: str) -> None:
    fresh = site.folder / "fresh"
    fresh.write_text(key)
    fresh.replace(site.folder / "key")


@pytest.mark.parametrize("rotate", [swapped, overwritten, renamed_over])
async def test_a_rotated_key_is_used_without_a_restart(
    site: Site,
    texts: Iterator[str],
    rotate: Callable[[Site, str], None],
) -> None:
    assert await site.sent("key-1", texts)
    rotate(site, "key-2")  # of the same length
    site.door.key = "key-2"
    await until(_of(site, "key-2", texts))
    (line,) = site.told()
    assert (line["event"], line["changed"]) == ("config_in_place", ["key_files"])
    assert "key-" not in str(line)


async def test_the_same_keys_mounted_anew_are_no_news(site: Site, texts: Iterator[str]) -> None:
    mounted(site.folder, 2, "key-1")
    site.config.write_text(site.config.read_text() + "# a comment\n")
    (site.folder / "..2" / "key").touch()
    await asyncio.sleep(0.5)  # five looks
    assert site.told() == []
    mounted(site.folder, 3, "key-2")
    site.door.key = "key-2"
    await until(_of(site, "key-2", texts))
    assert [line["changed"] for line in site.told()] == [["key_files"]]


async def test_a_key_file_that_is_empty_for_a_while_leaves_the_old_key(
    site: Site, texts: Iterator[str]
) -> None:
    overwritten(site, "")
    await until(site.is_refused)
    assert await site.sent("key-1", texts)
    overwritten(site, "key-2")
    site.door.key = "key-2"
    await until(_of(site, "key-2", texts))


async def test_a_section_that_needs_a_restart_is_named_and_nothing_is_in_place(site: Site) -> None:
    site.config.write_text(site.config.read_text() + "cache: {ttl_s: 5}\n")
    await until(site.is_refused)
    (line,) = site.told()
    assert line["event"] == "config_refused"
    assert "cache: restart" in str(line["fix"])


def _of(site: Site, key: str, texts: Iterator[str]) -> Callable[[], Awaitable[bool]]:
    return lambda: site.sent(key, texts)
