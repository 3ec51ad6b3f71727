"""`scripts/demo --calibrate`: what `adaptive-router calibrate` makes of the simulated providers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from demo.setup import Ports, start_upstreams, write_config
from demo.stack import Stack, free_port
from demo.world import World

BUDGET_USD = 5


def calibrate(stack: Stack, world: World, seed: int, *, recorded: bool) -> int:
    """Its exit code; it speaks on this process's own terminal. Raises StackError."""
    ports = Ports(free_port(), free_port(), start_upstreams(stack, world, seed, recorded=recorded))
    config = write_config(stack.folder, world, ports)
    prompts = write_prompts(stack.folder, world)
    command = [sys.executable, "-m", "router", "calibrate", str(prompts), "--config", str(config)]
    done = subprocess.run([*command, "--budget-usd", str(BUDGET_USD)], check=False)  # noqa: S603 - our own command, no shell
    return done.returncode


def write_prompts(folder: Path, world: World) -> Path:
    path = folder / "prompts.jsonl"
    lines = []
    for ask in world.asks:
        line: dict[str, object] = {"prompt": ask.text, "reference": world.reference(ask.index)}
        if ask.wants_json:
            line["response_format"] = {"type": "json_object"}
        lines.append(json.dumps(line))
    path.write_text("\n".join(lines))
    return path
