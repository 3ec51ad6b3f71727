"""The files of the house that one `Complete` enters, from the gRPC door to the background's end."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import grpc
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc

from router.app.server import running_router
from router.config import parse_config

ROOT = Path(__file__).parents[1]
HOUSE = tuple(f"{ROOT / room}/" for room in ("router", "bandit"))
ANSWER = b"""{"model": "m", "choices": [{"message": {"content": "The answer is 42."},
 "finish_reason": "stop"}], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}"""
CONFIG = """
server: {{port: 0, metrics_port: 0}}
redis: {{embedded: {{data_dir: {folder}, appendfsync: everysec}}}}
embedding: {{workers: 1}}
auth: {{required: false}}
learning: {{embedded: false, poll_ms: 2000}}
plans: {{pair: {{rungs: [cheap, strong], gate: learned}}}}
arms:
  cheap: {{deployments: [{{name: a, {deployment}}}]}}
  strong: {{deployments: [{{name: b, {deployment}}}]}}
"""
DEPLOYMENT = (
    "provider: openai, model: m, base_url: 'http://127.0.0.1:{port}/v1',"
    " price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}"
)
SETTLED_S = 0.3


def files_entered() -> list[str]:
    """Returns the paths, in order, that the event loop's thread enters for a warm router's answer.

    What the embedder does in its own threads is not seen, and what loops do meanwhile is left out.
    """
    with TemporaryDirectory() as folder, _upstream() as port:
        return asyncio.run(_traced(folder, port))


@contextmanager
def entering() -> Iterator[set[str]]:
    """Collects the files of `router` and `bandit` that new tasks of this thread enter."""
    found, loops = set[str](), asyncio.all_tasks() - {asyncio.current_task()}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(HOUSE):
            return
        if asyncio.current_task() not in loops:
            found.add(str(Path(frame.f_code.co_filename).relative_to(ROOT)))

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)


async def _traced(folder: str, port: int) -> list[str]:
    text = CONFIG.format(folder=folder, deployment=DEPLOYMENT.format(port=port))
    config = parse_config(text, "trace.yaml", {})
    async with running_router(config, {}) as running:
        target = f"127.0.0.1:{running.port}"
        async with grpc.aio.insecure_channel(target) as channel:
            complete = router_pb2_grpc.RouterServiceStub(channel).Complete
            await complete(_request("How many legs have four spiders?"))
            await asyncio.sleep(SETTLED_S)
            with entering() as found:
                await complete(_request("Name the longest river of Europe."))
                await asyncio.sleep(SETTLED_S)
    return sorted(found)


def _request(text: str) -> router_pb2.CompleteRequest:
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, text=text)
    return router_pb2.CompleteRequest(chat=chat_pb2.ChatRequest(messages=[message]))


class _Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _upstream() -> Iterator[int]:
    """The port of a provider that always answers the same."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
