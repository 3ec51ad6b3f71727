"""Runs a router and its tools in a network namespace, and prints whom they asked for anything.

Every address is this machine's there: a server of names answers every query, and a look at each
packet tells where it was meant to go. Usage: unshare --net python tests/alone.py FOLDER MODE
MODE: service | control
"""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

WAIT_S = 60.0
QUIET_S = 3.0
"""Telemetry is sent from threads of its own, some time after the start."""
IPV4, IPV6, UDP = 0x0800, 0x86DD, 17
CONFIG = """
server: {{port: 8480, metrics_port: 9480}}
redis: {{embedded: {{data_dir: {folder}/redis, appendfsync: everysec}}}}
learning: {{publish_every_ms: 50, poll_ms: 20}}
embedding: {{workers: 1}}
map: {{sample_embeddings: 256, sample_prompts: 16}}
arms:
  cheap: {{deployments: [{{name: cheap-1, provider: openai, model: m,
      base_url: 'http://127.0.0.1:{port}/v1',
      price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}}}]}}
"""


class Seen:
    """Names that were asked for, and addresses other than the loopback's that were sent to."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.addresses: set[str] = set()
        for watch in (self._packets, self._queries):
            threading.Thread(target=watch, daemon=True).start()

    def _packets(self) -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as tap:
            tap.bind(("lo", 0))
            while True:
                data, (_, protocol, *_) = tap.recvfrom(65_535)
                raw = {IPV4: data[16:20], IPV6: data[24:40]}.get(protocol)
                # Neighbours and groups are the kernel's own talk.
                address = ipaddress.ip_address(raw) if raw else None
                if address and not (address.is_loopback or address.is_multicast):
                    self.addresses.add(str(address))

    def _queries(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("0.0.0.0", 53))  # noqa: S104 - the namespace has no outside
            while True:
                asked, sender = server.recvfrom(4_096)
                self.names.add(_name(asked))
                answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + bytes(
                    (203, 0, 113, 7)
                )
                question = asked[12 : asked.index(b"\0", 12) + 5]
                head = asked[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
                server.sendto(head + question + answer, sender)


def _name(query: bytes) -> str:
    parts, at = [], 12
    while query[at]:
        parts.append(query[at + 1 : at + 1 + query[at]].decode("latin-1"))
        at += query[at] + 1
    return ".".join(parts)


class Provider(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        message = {"role": "assistant", "content": "Yes."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 1}
        body = json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def settled() -> None:
    """The loopback's every address, and everybody else's."""
    for words in (
        "link set lo up",
        "route add local 0.0.0.0/0 dev lo",
        "-6 route add local ::/0 dev lo",
    ):
        subprocess.run(["ip", *words.split()], check=" -6" in words, capture_output=True)  # noqa: S603, S607


def until(ready: Any) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not ready():
        if time.monotonic() > deadline_s:
            sys.exit("waited in vain")
        time.sleep(0.05)


def router(*words: str) -> str:
    command = [sys.executable, "-m", "router", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603


def service(folder: Path) -> None:
    provider = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    config = folder / "router.yaml"
    config.write_text(CONFIG.format(folder=folder, port=provider.server_port))
    words = [sys.executable, "-m", "router", "serve", "--config", str(config)]
    with subprocess.Popen(words) as serving:  # noqa: S603 - our own command
        try:
            with grpc.insecure_channel("127.0.0.1:8480") as channel:
                until(lambda: _serves(channel, "") and _serves(channel, "learner"))
                key = router("tenant", "create", "acme", "--config", str(config)).strip()
                _use(channel, key)
            time.sleep(QUIET_S)
            for tool in (
                ("log", "export", "--out", str(folder / "archive"), "--config", str(config)),
                ("learner", "replay", "--config", str(config)),
                ("policy", "list", "--config", str(config)),
            ):
                router(*tool)
        finally:
            serving.send_signal(signal.SIGTERM)
            serving.wait(WAIT_S)


def _serves(channel: grpc.Channel, component: str) -> bool:
    stub = health_pb2_grpc.HealthStub(channel)
    try:
        told = stub.Check(health_pb2.HealthCheckRequest(service=component), timeout=1)
    except grpc.RpcError:
        return False
    return bool(told.status == health_pb2.HealthCheckResponse.SERVING)


def _use(channel: grpc.Channel, key: str) -> None:
    stub, metadata = (
        router_pb2_grpc.RouterServiceStub(channel),
        (("authorization", f"Bearer {key}"),),
    )
    for n in range(3):
        message = chat_pb2.Message(role=chat_pb2.ROLE_USER, text=f"What is {n} and {n}?")
        asked = router_pb2.CompleteRequest(chat=chat_pb2.ChatRequest(messages=[message]))
        done = stub.Complete(asked, metadata=metadata, timeout=30)
        told = router_pb2.FeedbackRequest(decision_id=done.receipt.decision_id, quality=1.0)
        stub.Feedback(told, metadata=metadata, timeout=30)


def control() -> None:
    """Asks for what nobody configured, from code of Python and of another program."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(2)
        client.connect_ex((socket.gethostbyname("telemetry.example"), 443))
    code = "import socket; socket.socket(2, 2).sendto(b'id', ('198.51.100.9', 9))"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - made up here
    time.sleep(0.5)


def main() -> None:
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    settled()
    seen = Seen()
    time.sleep(0.2)
    if mode == "control":
        control()
    else:
        service(folder)
    sys.stdout.write(
        json.dumps({"names": sorted(seen.names), "addresses": sorted(seen.addresses)}) + "\n"
    )
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
