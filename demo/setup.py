"""Starts the demo's processes: three providers, and the router with its private Redis."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from demo.stack import Stack, free_port, listens
from demo.world import ARMS, World

COST_WEIGHT = 0.1
TYPICAL_TOKENS = 300
TOKENS_PER_MTOK = 1_000_000
TENANT = "demo"
HEALTH_S = 1.0


@dataclass(frozen=True, slots=True)
class Ports:
    router: int
    metrics: int
    upstreams: Mapping[str, int]
    http: int = field(default_factory=free_port)


def unit_usd(world: World) -> float:
    """Returns the worth of COST_WEIGHT of quality: a typical request on the dearest arm."""
    dear = world.profiles["reasoning"]
    return (dear.input_usd_per_mtok + dear.output_usd_per_mtok) * TYPICAL_TOKENS / TOKENS_PER_MTOK


def start(
    stack: Stack, world: World, seed: int, *, recorded: bool, talks: bool = False
) -> tuple[Ports, str]:
    """Ports, and the API key of a fresh tenant. Raises StackError."""
    upstreams = start_upstreams(stack, world, seed, recorded=recorded, talks=talks)
    ports = Ports(free_port(), free_port(), upstreams)
    config = write_config(stack.folder, world, ports)
    return ports, start_router(stack, config, ports)


def start_router(stack: Stack, config: Path, ports: Ports, name: str = "router") -> str:
    """The API key of a fresh tenant. name: of its log. Raises StackError."""
    stack.start(name, ["router", "serve", "--config", str(config)])
    stack.wait(lambda: serving(ports.router))
    return _new_key(config)


def start_upstreams(
    stack: Stack, world: World, seed: int, *, recorded: bool, talks: bool = False
) -> dict[str, int]:
    """Arm -> port. Raises StackError."""
    ports = {arm: free_port() for arm in ARMS}
    for arm, port in ports.items():
        options = ["--profile", arm, "--port", str(port), "--seed", str(seed)]
        options += ["--prompts", str(len(world.asks)), *(["--recorded"] if recorded else [])]
        options += ["--conversations"] if talks else []
        stack.start(arm, ["demo.upstream", *options])
    stack.wait(lambda: all(listens(port) for port in ports.values()))
    return ports


def serving(port: int) -> bool:
    """Ask the standard health service about the whole server."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_S)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _new_key(config: Path) -> str:
    made = subprocess.run(  # noqa: S603 - our own command, no shell
        [sys.executable, "-m", "router", "tenant", "create", TENANT, "--config", str(config)],
        check=True,
        capture_output=True,
        text=True,
    )
    return made.stdout.strip()


def write_config(folder: Path, world: World, ports: Ports) -> Path:
    """Its Redis works in the same folder."""
    arms = "\n".join(
        f"  {arm}: {{deployments: [{_deployment(world, arm, ports.upstreams[arm])}]}}"
        for arm in ARMS
    )
    text = f"""
server: {{port: {ports.router}, http_port: {ports.http},
         metrics_port: {ports.metrics}}}
redis: {{embedded: {{data_dir: {folder}/redis}}}}
health: {{cooldown_ms: 1000, max_cooldown_ms: 2000}}
policy: {{cost_unit_usd: {unit_usd(world):.9f}, weights: {{cost: {COST_WEIGHT}}}}}
learning: {{publish_every_ms: 200, poll_ms: 100}}
map: {{terms: yes, sample_embeddings: 4000}}
arms:
{arms}
"""
    path = folder / "router.yaml"
    path.write_text(text)
    return path


def _deployment(world: World, arm: str, port: int) -> str:
    profile = world.profiles[arm]
    rates = {
        name: rate
        for name, rate in asdict(profile).items()
        if name.endswith("_usd_per_mtok") and rate is not None
    }
    caches = f", cache_ttl_s: {profile.cache_ttl_s}" if profile.cache_ttl_s else ""
    return (
        f"{{name: {arm}-1, provider: openai, base_url: 'http://127.0.0.1:{port}/v1', model: {arm},"
        f" price: {json.dumps(rates)}{caches}}}"
    )
