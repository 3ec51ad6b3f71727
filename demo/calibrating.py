"""`scripts/demo --calibrate`: what `adaptive-router calibrate` makes of the simulated providers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from demo.client import Ask
from demo.setup import Ports, start_upstreams, write_config
from demo.stack import Stack, StackError, free_port
from demo.world import World

BUDGET_USD = 5


def calibrate(stack: Stack, world: World, seed: int, *, recorded: bool) -> int:
    """Its exit code; it speaks on this process's own terminal. Raises StackError."""
    ports = Ports(free_port(), free_port(), start_upstreams(stack, world, seed, recorded=recorded))
    config = write_config(stack.folder, world, ports)
    command = _command(write_prompts(stack.folder, world, world.asks), config)
    return subprocess.run(command, check=False).returncode  # noqa: S603 - our own command, no shell


def teach(config: Path, world: World, asks: Sequence[Ask]) -> None:
    """Calibrate in silence, on these prompts. Raises StackError."""
    command = _command(write_prompts(config.parent, world, asks), config)
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - as above
    if done.returncode:
        raise StackError(f"calibrate ended with {done.returncode}:\n{done.stderr[-2_000:]}")


def _command(prompts: Path, config: Path) -> list[str]:
    command = [sys.executable, "-m", "router", "calibrate", str(prompts), "--config", str(config)]
    return [*command, "--budget-usd", str(BUDGET_USD)]


def write_prompts(folder: Path, world: World, asks: Sequence[Ask]) -> Path:
    path = folder / "prompts.jsonl"
    lines = []
    for ask in asks:
        line: dict[str, object] = {"prompt": ask.text, "reference": world.reference(ask.index)}
        if ask.wants_json:
            line["response_format"] = {"type": "json_object"}
        lines.append(json.dumps(line))
    path.write_text("\n".join(lines))
    return path
