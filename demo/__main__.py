"""`scripts/demo`: the whole system as separate processes, a caller, and the table of it all."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import grpc
import httpx
from adaptive_router.v1 import router_pb2_grpc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo.baselines import Utility
from demo.calibrating import calibrate
from demo.client import Sample
from demo.pair import EVIDENCE, Pair, start_pair
from demo.recorded import DataMissing
from demo.report import ROW, print_report
from demo.setup import COST_WEIGHT, Ports, start, unit_usd
from demo.stack import Stack, StackError
from demo.story import story
from demo.talk_report import print_talks
from demo.talking import Callers, Turn
from demo.talks import CACHE_TTL_S, TalkWorld
from demo.upstream import make_world
from demo.world import ARMS, World, outcomes

# The cheap provider is down for this part of the run.
DOWN_FROM, DOWN_UNTIL = 0.4, 0.6
WIDTH = 128
SIMULATED = (
    "Simulated here: the three providers (their prompts, answers, prices, speed and failures). "
    "Real: HTTP, gRPC, Redis, the embedding model, the bandit and everything it learns."
)
REPLAYED = (
    "Replayed here: real prompts (GSM8K), the real answers of three models and their "
    "correctness; simulated: speed and the outage. o1_mini's hidden tokens are not in the data, "
    "so its cost is a lower bound. The rest is real."
)
TALKS = (
    "Simulated here: {} conversations of {} questions, and models that keep what they read for "
    "{} s and charge cached and written input at its own rate. Real: HTTP, gRPC, Redis, the "
    "embedding model, the bandit. Each row has its own warm caches; the router begins with "
    "nothing learned, and learns from no other row."
)
ROUTER = "adaptive-router"


@click.command()
@click.option("--prompts", default=600, show_default=True, type=click.IntRange(20, 100_000))
@click.option("--seed", default=0, show_default=True)
@click.option("--recorded", is_flag=True, help="real prompts and answers out of ROUTER_DATA_DIR")
@click.option("--conversations", "talks", is_flag=True, help="conversations, and their bill")
@click.option("--serve", is_flag=True, help="leave the stack up until Ctrl-C")
@click.option("--calibrate", "only_calibrate", is_flag=True, help="calibrate, and serve nothing")
def main(
    prompts: int, seed: int, *, recorded: bool, talks: bool, serve: bool, only_calibrate: bool
) -> None:
    """Start Redis, three providers and the router; send prompts; print what came of it."""
    if talks and (recorded or serve or only_calibrate):
        raise click.UsageError("--conversations goes with --prompts and --seed alone")
    console = Console(width=max(WIDTH, Console().width))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        more = 0 if talks or serve or only_calibrate else EVIDENCE
        world = make_world(prompts + more, seed, recorded=recorded, talks=talks)
        with (
            tempfile.TemporaryDirectory(prefix="router-demo-") as folder,
            Stack(Path(folder)) as stack,
        ):
            if isinstance(world, TalkWorld):
                _run_talks(console, stack, world, seed)
                return
            if only_calibrate:
                console.print(REPLAYED if recorded else SIMULATED)
                code = calibrate(stack, world, seed, recorded=recorded)
                console.print("This stack ends here; with a config of your own it stays.")
                sys.exit(code)
            if serve:
                _serve(console, stack, world, seed, recorded=recorded)
                return
            _run(console, stack, world, seed, recorded=recorded)
    except KeyboardInterrupt:
        console.print("stopped; every process has ended")
        sys.exit(130)
    except (StackError, DataMissing) as error:
        console.print(str(error), style="red", markup=False)
        sys.exit(1)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _run(console: Console, stack: Stack, world: World, seed: int, *, recorded: bool) -> None:
    console.print(REPLAYED if recorded else SIMULATED)
    pair = start_pair(stack, world, seed, recorded=recorded)
    runs = asyncio.run(_drive(console, pair))
    utility = Utility(COST_WEIGHT, unit_usd(world))
    known = outcomes(world)
    print_report(console, runs, known, utility, _events(len(pair.asks)))
    console.print("What it comes to:")
    for line in story(runs, known, utility, pair.taught):
        console.print(f"- {line}", highlight=False)


async def _drive(console: Console, pair: Pair) -> dict[str, list[Sample]]:
    """Every prompt once to each router, in order, with the outage on the way."""
    cuts = [int(len(pair.asks) * share) for share in (0, DOWN_FROM, DOWN_UNTIL, 1)]
    phases = zip(cuts, cuts[1:], (False, True, False), strict=False)
    runs: dict[str, list[Sample]] = {name: [] for name in pair.routers}
    with _progress(console, len(runs) * len(pair.asks)) as advance:

        def told(name: str, sample: Sample) -> None:
            runs[name].append(sample)
            next(advance)

        for begin, end, down in phases:
            await _control(pair.upstreams["cheap"], down=down)
            await pair.send(pair.asks[begin:end], told)
    return {name: sorted(run, key=lambda sample: sample.index) for name, run in runs.items()}


def _run_talks(console: Console, stack: Stack, world: TalkWorld, seed: int) -> None:
    asked = sum(len(talk.asks) for talk in world.talks)
    console.print(TALKS.format(len(world.talks), asked, CACHE_TTL_S))
    ports, key = start(stack, world, seed, recorded=False, talks=True)
    rows, ledgers_usd = asyncio.run(_hold(console, world, ports, key))
    print_talks(console, rows, Utility(COST_WEIGHT, unit_usd(world)), ledgers_usd)


async def _hold(
    console: Console, world: TalkWorld, ports: Ports, key: str
) -> tuple[dict[str, list[list[Turn]]], list[float]]:
    """The router's conversations come first, so that it learns from no others."""
    rows = dict[str, list[list[Turn]]]()
    names = {"": ROUTER} | {arm: f"always {arm}" for arm in ARMS}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ports.router}") as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        total = len(names) * len(world.talks)
        with _progress(console, total, "conversations") as advance:
            for arm, name in names.items():
                talks: dict[int, list[Turn]] = {}
                async for talk, turns in Callers(stub, key, world, arm).hold():
                    talks[talk.number] = turns
                    next(advance)
                rows[name] = [talks[number] for number in sorted(talks)]
    rows[ROUTER] = rows.pop(ROUTER)
    return rows, [await _ledger_usd(port) for port in ports.upstreams.values()]


async def _ledger_usd(port: int) -> float:
    async with httpx.AsyncClient() as client:
        return float((await client.get(f"http://127.0.0.1:{port}/ledger")).json()["usd"])


async def _control(port: int, *, down: bool) -> None:
    async with httpx.AsyncClient() as client:
        await client.post(f"http://127.0.0.1:{port}/control", json={"down": down})


@contextmanager
def _progress(console: Console, total: int, things: str = "requests") -> Iterator[Iterator[None]]:
    columns = (TextColumn(things), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(things, total=total)

        def steps() -> Iterator[None]:
            while True:
                bar.advance(task)
                yield

        yield steps()


def _events(count: int) -> dict[int, str]:
    down, up = int(count * DOWN_FROM) // ROW, int(count * DOWN_UNTIL) // ROW
    return {down: "cheap down", up: "cheap back"} if down != up else {down: "cheap down"}


SNIPPET = """
import grpc
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc

router = router_pb2_grpc.RouterServiceStub(grpc.insecure_channel("127.0.0.1:{port}"))
key = [("authorization", "Bearer {key}")]
user = chat_pb2.Message(role=chat_pb2.ROLE_USER, text="What is 17 * 23?")
chat = chat_pb2.ChatRequest(messages=[user])
done = router.Complete(router_pb2.CompleteRequest(chat=chat), metadata=key)
print(done.answer.text, done.receipt.arm, done.receipt.cost_usd)
router.Feedback(
    router_pb2.FeedbackRequest(decision_id=done.receipt.decision_id, quality=1.0), metadata=key
)
"""
GRPCURL = (
    "grpcurl -plaintext -H 'authorization: Bearer {key}' -d "
    """'{{"chat": {{"messages": [{{"role": "ROLE_USER", "text": "What is 17 * 23?"}}]}}}}' """
    "127.0.0.1:{port} adaptive_router.v1.RouterService/Complete"
)


def _serve(console: Console, stack: Stack, world: World, seed: int, *, recorded: bool) -> None:
    console.print(REPLAYED if recorded else SIMULATED)
    ports, key = start(stack, world, seed, recorded=recorded)
    values = {"port": ports.router, "key": key}
    console.print(
        "\nUp until Ctrl-C. Try:\n", GRPCURL.format(**values), markup=False, soft_wrap=True
    )
    console.print(
        "\nor, with .venv/bin/python:", SNIPPET.format(**values), markup=False, soft_wrap=True
    )
    console.print(f"Metrics: http://127.0.0.1:{ports.metrics}/metrics")
    console.print(f"HTTP: http://127.0.0.1:{ports.http}/v1")
    config = stack.folder / "router.yaml"
    console.print(f"Map: adaptive-router map --config {config} --out map.html", soft_wrap=True)
    signal.pause()


if __name__ == "__main__":
    main()
