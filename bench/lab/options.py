"""Options that experiments share, and what they stand for."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench.lab.jobs import ReplayTerms
from bench.lab.recorded import BenchError
from bench.lab.streams import StreamSpec

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

FILE = click.option("--file", "path", type=click.Path(path_type=Path), help="another recorded set")
ARMS = click.option(
    "--arms", default="", help="of --file: names of its q_ and c_ columns, by comma"
)
PROMPT_COLUMN = click.option(
    "--prompt-column", default="prompt", show_default=True, help="of --file"
)
WHERE = click.option("--where", multiple=True, help="of --file: column==value or column!=value")
CALIBRATE = click.option(
    "--calibrate", default=0, type=click.IntRange(0), help="prompts learned beforehand"
)
DELAY = click.option(
    "--delay", default=0, type=click.IntRange(0), help="requests until one is learned"
)
FEEDBACK_SHARE = click.option(
    "--feedback-share", default=1.0, type=click.FloatRange(0, 1), help="of requests"
)
COST_UNIT = click.option(
    "--cost-unit-usd",
    type=click.FloatRange(0, min_open=True),
    help="[mean cost of the dearest arm]",
)
JOBS = click.option("--jobs", type=click.IntRange(1, 256), help="processes [one per core]")


def vw(default: str) -> Decorator:
    choice = click.Choice(["on", "off", "both"])
    return click.option("--vw", type=choice, default=default, show_default=True)


def cost_weights(*default: float, note: str | None = None) -> Decorator:
    return click.option(
        "--lambda",
        "cost_weights",
        multiple=True,
        type=click.FloatRange(0, 10),
        default=default,
        show_default=True,
        help=note,
    )


def seeds(note: str, most: int = 1_000) -> Decorator:
    return click.option("--seeds", type=click.IntRange(1, most), help=note)


def out(default: str, *, file: bool = False) -> Decorator:
    kind = click.Path(path_type=Path, file_okay=file, dir_okay=not file)
    return click.option("--out", type=kind, default=Path(default), show_default=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentOptions:
    """Options of every experiment on streams; empty and None stand for their defaults."""

    path: Path | None
    arms: str
    where: Sequence[str]
    prompt_column: str = "prompt"
    names: Sequence[str] = ()
    cost_weights: Sequence[float] = ()
    seeds: int | None
    requests: int | None
    quick: bool
    vw: str = "on"
    calibrate: int = 0
    delay: int = 0
    feedback_share: float = 1.0
    factors: Sequence[str] = ()
    cost_unit_usd: float | None = None
    jobs: int | None
    out: Path

    def terms(self) -> ReplayTerms:
        return ReplayTerms(self.calibrate, self.delay, self.feedback_share)

    def file_spec(self) -> StreamSpec | None:
        """Returns the stream of --file, None without one. Raises BenchError."""
        if self.path is None:
            if self.arms or self.where:
                raise BenchError("--arms and --where go with --file")
            return None
        if not self.path.is_file():
            raise BenchError(f"there is no file {self.path}; check --file")
        arms = tuple(name.strip() for name in self.arms.split(",") if name.strip())
        where, column = tuple(self.where), self.prompt_column
        return StreamSpec(self.path.stem, self.path, arms, where, prompt_column=column)

    def seed_count(self, usual: int, quick: int) -> int:
        return self.seeds or (quick if self.quick else usual)

    @property
    def processes(self) -> int:
        return self.jobs or len(os.sched_getaffinity(0))


def factors(option: str, given: Sequence[str], arms: Collection[str]) -> dict[str, float]:
    """Parse ARM=FACTOR pairs. Raises BenchError."""
    found = {}
    for pair in given:
        arm, _, text = pair.partition("=")
        try:
            found[arm] = float(text)
        except ValueError:
            raise BenchError(f"{option} {pair!r} is not ARM=FACTOR, as in x=3") from None
        if arm not in arms:
            raise BenchError(f"{option} names no arm {arm!r}; choose: {', '.join(arms)}")
        if not 0 < found[arm] < float("inf"):
            raise BenchError(f"a {option} is a finite number > 0")
    return found


def terms_line(phrases: Sequence[str]) -> str:
    return f"Terms: {'; '.join(phrases)}." if phrases else ""
