"""A router as a user has it: a config, a process, a store; and what stands in that store."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from typing import Any

import grpc
import redis
from adaptive_router.v1 import admin_pb2_grpc, router_pb2_grpc
from click.testing import CliRunner
from grpc_health.v1 import health_pb2, health_pb2_grpc

from demo.stack import free_port
from router.adapters.storage import EmbeddedRedis
from router.cli import main

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENV = {"ROUTER_ADMIN_KEY": "only-operators-know"}
WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Served:
    router: router_pb2_grpc.RouterServiceStub
    admin: admin_pb2_grpc.AdminServiceStub


@dataclass(frozen=True, slots=True)
class Site:
    """A store that runs, and the config of a router on it."""

    folder: Path
    port: int
    store: redis.Redis

    @property
    def config(self) -> Path:
        return self.folder / "router.yaml"

    def run(self, *words: object) -> str:
        """Standard output of one command that takes a config."""
        told = [*map(str, words), "--config", str(self.config)]
        done = CliRunner().invoke(main, told, env=ENV)
        assert done.exit_code == 0, done.output
        return done.stdout

    @contextmanager
    def serving(self) -> Iterator[Served]:
        command = [sys.executable, "-m", "router", "serve", "--config", str(self.config)]
        with (
            (self.folder / "serve.log").open("w") as log,
            subprocess.Popen(command, cwd=ROOT, env=os.environ | ENV, stderr=log) as process,  # noqa: S603 - the same
            grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel,
        ):
            try:
                until(lambda: process.poll() is not None or _serves(channel))
                assert process.poll() is None, (self.folder / "serve.log").read_text()
                yield Served(
                    router_pb2_grpc.RouterServiceStub(channel),
                    admin_pb2_grpc.AdminServiceStub(channel),
                )
            finally:
                process.terminate()


@contextmanager
def site(
    folder: Path, *, learns: bool, stored: Mapping[bytes, bytes] | None = None
) -> Iterator[Site]:
    """A site with an upstream of its own. stored: what its store holds, as Redis dumps it."""
    server = EmbeddedRedis(folder / "redis", appendfsync="everysec")
    asyncio.run(server.start())
    try:
        with upstream() as there, redis.Redis(unix_socket_path=server.socket) as store:
            for key, value in (stored or {}).items():
                store.restore(key, 0, value)
            port = free_port()
            template = Template((HERE / "router.yaml").read_text())
            learner = str(learns).lower()
            text = template.substitute(folder=folder, port=port, upstream=there, learner=learner)
            (folder / "router.yaml").write_text(text)
            yield Site(folder, port, store)
    finally:
        asyncio.run(server.stop())


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def _serves(channel: grpc.Channel) -> bool:
    try:
        stub = health_pb2_grpc.HealthStub(channel)
        told = stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
    except grpc.RpcError:
        return False
    return bool(told.status == health_pb2.HealthCheckResponse.SERVING)


@contextmanager
def upstream() -> Iterator[int]:
    """The port of models and of a verifier, whose answers depend on nothing but the request."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Upstream)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/verify":
            self._say(200, json.dumps({"quality": 0.75}))
        elif asked["model"] == "broken":
            self._say(500, "{}")
        elif asked.get("stream"):
            self._say(200, "".join(_chunks(_answer(asked))), "text/event-stream")
        else:
            self._say(200, json.dumps(_completion("message", _answer(asked))))

    def _say(self, status: int, text: str, kind: str = "application/json") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _answer(asked: dict[str, Any]) -> str:
    """The cheap model is mostly right."""
    right = asked["model"] != "cheap" or sum(json.dumps(asked["messages"]).encode()) % 8
    return f"The answer is {42 if right else 41}."


def _completion(role: str, text: str) -> dict[str, Any]:
    choice = {"index": 0, role: {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 20, "completion_tokens": 6}}


def _chunks(text: str) -> Iterator[str]:
    yield f"data: {json.dumps(_completion('delta', text))}\n\n"
    yield "data: [DONE]\n\n"
