"""`serve` and `learner` as the processes they are: started, asked, told to stop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from demo.stack import free_port

WAIT_S = 60.0
Write = Callable[[str], Path]


def next_taken() -> tuple[int, socket.socket]:
    """A free port, and a socket that listens on the one after it."""
    while True:
        port = free_port()
        with suppress(OSError):
            return port, socket.create_server(("127.0.0.1", port + 1))


@contextmanager
def started(command: str, config: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "router", command, "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def stopped(process: subprocess.Popen[str], number: signal.Signals) -> list[dict[str, object]]:
    """Its log, once it has ended well."""
    process.send_signal(number)
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def serving(port: int, component: str = "") -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            told = stub.Check(health_pb2.HealthCheckRequest(service=component), timeout=1)
        except grpc.RpcError:
            return False
        return bool(told.status == health_pb2.HealthCheckResponse.SERVING)


def scraped(port: int, line: str = "adaptive_router_learned_events_total") -> bool:
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=1).text
    except httpx.HTTPError:
        return False
    return line in text


def learners_of(parent: int) -> list[int]:
    """The learner that a router started, if it runs."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


def redis_of(folder: Path) -> list[str]:
    """The processes that work in a data directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                found.append(entry.name)
        except OSError:  # it ended, or is another user's
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_runs_until_a_signal(
    tmp_path: Path, write_config: Write, model_dir: Path, number: signal.Signals
) -> None:
    port, metrics_port, http_port = free_port(), free_port(), free_port()
    ports = {"port": port, "metrics_port": metrics_port, "http_port": http_port}
    config = write_config(f"server: {json.dumps(ports)}\n")
    with started("serve", config) as process:
        until(lambda: serving(port), process)
        assert scraped(metrics_port)
        assert redis_of(tmp_path / "redis")
        told = stopped(process, number)
    assert ({"event": "started"} | ports).items() <= (
        next(line for line in told if line["event"] == "started").items()
    )
    well = {line["component"] for line in told if line["event"] == "component" and line["serving"]}
    assert well >= {"redis", "embedder"}
    assert not redis_of(tmp_path / "redis")
    assert model_dir.exists()


@pytest.mark.parametrize(("level", "told"), [("info", True), ("warning", False)])
def test_the_log_tells_what_its_level_asks_for(
    write_config: Write, model_dir: Path, level: str, *, told: bool
) -> None:
    assert model_dir.exists()
    port = free_port()
    server = f"{{port: {port}, metrics_port: 0, log_level: {level}}}"
    with started("serve", write_config(f"server: {server}\n")) as process:
        until(lambda: serving(port), process)
        lines = stopped(process, signal.SIGTERM)
    assert any(line["event"] == "started" for line in lines) is told
    assert not told or {"info"} <= {line["level"] for line in lines}


def test_a_store_that_another_config_uses_is_refused_and_tools_work_beside_it(
    tmp_path: Path, write_config: Write, model_dir: Path
) -> None:
    port = free_port()
    first = write_config(f"server: {{port: {port}, metrics_port: 0}}\n")
    second = tmp_path / "second.yaml"
    second.write_text(first.read_text().replace(f"port: {port}", "port: 0"))
    with started("serve", first) as process:
        until(lambda: serving(port), process)
        for command in ("serve", "learner"):
            with started(command, second) as refused:
                err = refused.communicate(timeout=WAIT_S)[1]
            assert refused.returncode == 1
            assert f"in use by process {process.pid} with the config {first}" in err
            assert "redis.embedded.data_dir" in err.splitlines()[-1]
        with started("learner", first) as beside:  # of the same config
            until(lambda: '"started"' in _line(beside), beside)
            stopped(beside, signal.SIGTERM)
        tool = [sys.executable, "-m", "router", "tenant", "create", "acme", "--config", str(first)]
        made = subprocess.run(tool, capture_output=True, text=True, timeout=WAIT_S, check=False)  # noqa: S603 - our own command
        assert made.stdout.startswith("ar_"), made.stderr
        assert serving(port)
        stopped(process, signal.SIGTERM)
    assert model_dir.exists()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def test_learner_runs_alone_until_a_signal(tmp_path: Path, write_config: Write) -> None:
    metrics_port = free_port()
    config = write_config(f"server: {{metrics_port: {metrics_port}}}\n")
    with started("learner", config) as process:
        until(lambda: scraped(metrics_port), process)
        stopped(process, signal.SIGTERM)
    assert not redis_of(tmp_path / "redis")


@pytest.mark.slow
def test_a_learner_that_cannot_start_or_is_killed_is_told_by_health_metrics_and_log(
    write_config: Write, model_dir: Path
) -> None:
    port, (metrics_port, other) = free_port(), next_taken()
    config = write_config(f"server: {{port: {port}, metrics_port: {metrics_port}}}\n")
    with other, started("serve", config) as process:
        until(lambda: scraped(metrics_port, "learner_ends_total 1.0"), process)
        assert serving(port)
        assert not serving(port, "learner")
        assert scraped(metrics_port, "learner_serving 0.0")
        other.close()
        until(lambda: serving(port, "learner"), process)
        (learner,) = learners_of(process.pid)
        os.kill(learner, signal.SIGKILL)
        until(lambda: not serving(port, "learner"), process)
        until(lambda: serving(port, "learner"), process)
        assert scraped(metrics_port, "learner_serving 1.0")
        told = stopped(process, signal.SIGTERM)  # every line is JSON
    failed = [line for line in told if line["event"] == "learner_failed"]
    ended = [line for line in told if line["event"] == "learner_ended"]
    assert failed[0]["reason"] == "PORT_TAKEN"
    assert f"127.0.0.1:{metrics_port + 1}" in str(failed[0]["fix"])
    assert (ended[0]["code"], ended[0]["signal"], ended[0]["failures"]) == (1, "", 1)
    assert ended[-1]["signal"] == "SIGKILL"
    assert model_dir.exists()


@pytest.mark.parametrize(
    ("command", "taken"),
    [("serve", "port"), ("serve", "metrics_port"), ("learner", "metrics_port")],
)
def test_a_taken_port_is_told_in_one_line_and_in_the_log(
    tmp_path: Path, write_config: Write, model_dir: Path, command: str, taken: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ports = {"port": 0, "metrics_port": 0} | {taken: port}
        config = write_config(f"server: {json.dumps(ports)}\n")
        with started(command, config) as process:
            err = process.communicate(timeout=WAIT_S)[1]
    assert process.returncode == 1
    (told,) = (line for line in err.splitlines() if '"failed"' in line)
    assert json.loads(told)["reason"] == "PORT_TAKEN"
    assert f"can't listen on 127.0.0.1:{port}" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not redis_of(tmp_path / "redis")
    assert model_dir.exists()


def test_serve_waits_for_an_unreachable_store_and_says_so(
    write_config: Write, model_dir: Path
) -> None:
    port = free_port()
    away = f"server: {{port: {port}, metrics_port: 0}}\n"
    config = write_config(away)
    text = config.read_text().replace("redis: {", "redis: {url: 'redis://127.0.0.1:9', ")
    config.write_text(text)
    with started("serve", config) as process:
        until(lambda: answers(port), process)
        assert not serving(port)
        told = stopped(process, signal.SIGTERM)
    ill = [
        line["component"] for line in told if line["event"] == "component" and not line["serving"]
    ]
    assert ill[0] == "redis"
    assert model_dir.exists()


def answers(port: int) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=0.2)
        except grpc.FutureTimeoutError:
            return False
        return True


def test_serve_reports_a_damaged_model_in_one_line(
    config: Path, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right size and the wrong bytes: only the checksum tells."""
    damaged = tmp_path / "model"
    shutil.copytree(model_dir, damaged)
    weights = damaged / "model_quantized.onnx"
    content = bytearray(weights.read_bytes())
    content[1_000] ^= 1
    weights.write_bytes(content)
    monkeypatch.setenv("ADAPTIVE_ROUTER_MODEL_DIR", str(damaged))
    with started("serve", config) as process:
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert "model_quantized.onnx is not the pinned model file" in err
    assert "Traceback" not in err
