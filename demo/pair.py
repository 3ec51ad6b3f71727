"""Two routers over the same providers: one that has learned nothing, one that was calibrated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc

from demo.calibrating import teach
from demo.client import Ask, Client, Sample
from demo.report import COLD, TAUGHT
from demo.setup import Ports, start_router, start_upstreams, write_config
from demo.stack import Stack, free_port
from demo.world import World

FOLDERS = {COLD: "cold", TAUGHT: "taught"}
EVIDENCE = 150
"""Prompts of which every model's answer is known first; none of them is sent later."""

Told = Callable[[str, Sample], None]


@dataclass(frozen=True, slots=True)
class Pair:
    """routers: name -> (port, API key). asks: prompts to send, in their order.

    taught: prompts of evidence.
    """

    world: World
    upstreams: Mapping[str, int]
    routers: Mapping[str, tuple[int, str]]
    asks: Sequence[Ask]
    taught: Sequence[int]

    async def send(self, asks: Sequence[Ask], told: Told) -> None:
        """Send the same to both routers at the same time; tell each sample as it ends."""
        async with asyncio.TaskGroup() as both:
            for name in self.routers:
                both.create_task(self._send(name, asks, told))

    async def _send(self, name: str, asks: Sequence[Ask], told: Told) -> None:
        port, key = self.routers[name]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            async for sample in Client(channel, key, self.world.grade).send(asks):
                told(name, sample)


def start_pair(stack: Stack, world: World, seed: int, *, recorded: bool) -> Pair:
    """The last `EVIDENCE` prompts of the world, at most half of them, teach. Raises StackError."""
    upstreams = start_upstreams(stack, world, seed, recorded=recorded)
    sent = len(world.asks) - min(EVIDENCE, len(world.asks) // 2)
    lessons = world.asks[sent:]
    routers = {}
    for name, short in FOLDERS.items():
        folder = stack.folder / short
        folder.mkdir()
        ports = Ports(free_port(), free_port(), upstreams)
        config = write_config(folder, world, ports)
        if name == TAUGHT:
            teach(config, world, lessons)
        routers[name] = ports.router, start_router(stack, config, ports, short)
    return Pair(world, upstreams, routers, world.asks[:sent], [ask.index for ask in lessons])
