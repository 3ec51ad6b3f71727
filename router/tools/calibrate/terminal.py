"""The user's terminal: a progress bar during calls, Ctrl-C, and tables afterwards."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.progress import TimeRemainingColumn as Remaining
from rich.table import Table

from router.tools.calibrate.collect.arm_client import Reply
from router.tools.calibrate.collect.budget import Budget
from router.tools.calibrate.collect.journal import Answered
from router.tools.calibrate.report import ReportSection


@dataclass(slots=True)
class ProgressBar:
    """Implements `router.tools.calibrate.collect.collector.ProgressListener`."""

    progress: Progress
    task: TaskID
    budget: Budget
    missed: int = 0

    def replied(self, reply: Reply) -> None:
        self.missed += not isinstance(reply, Answered)
        self.progress.update(self.task, advance=1, money=_money(self.budget), missed=self.missed)


def _money(budget: Budget) -> str:
    return f"${budget.spent_usd:.4f} of ${budget.budget_usd:.2f}"


@contextmanager
def progress_bar(console: Console, total: int, budget: Budget) -> Iterator[ProgressBar]:
    columns = (
        TextColumn("answers"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[money]}"),
        TextColumn("{task.fields[missed]} missing"),
        Remaining(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=total, money=_money(budget), missed=0)
        yield ProgressBar(progress, task, budget)


def show(console: Console, sections: Sequence[ReportSection]) -> None:
    for section in sections:
        console.print()
        console.print(section.title, style="bold", markup=False)
        for note in section.notes:
            console.print(note, markup=False, highlight=False)
        if section.rows:
            console.print(_table(section))
        if section.code:
            console.print(section.code.rstrip(), markup=False, highlight=False, soft_wrap=True)


def _table(section: ReportSection) -> Table:
    table = Table(box=None, pad_edge=False)
    for i, column in enumerate(section.columns):
        table.add_column(column, overflow="fold", no_wrap=i == 0)
    for row in section.rows:
        table.add_row(*(_printable(cell) for cell in row))
    return table


def _printable(text: str) -> str:
    """Remove control characters, and escape brackets, which are markup in a table."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable.replace("[", r"\[")


T = TypeVar("T")
GRACE_S = 20.0


async def until_stopped(
    work: Coroutine[Any, Any, list[T]], stop: asyncio.Event, say: Callable[[str], None]
) -> list[T]:
    """Returns the result of `work`, or [] if it was cancelled.

    The first SIGINT or SIGTERM sets `stop`, at which `work` ends early because calls in flight are
    paid for; the second, or the end of the grace period, cancels it.
    """
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)

    def on_signal() -> None:
        if stop.is_set():
            task.cancel()
            return
        stop.set()
        say(f"stopping: waiting up to {GRACE_S:.0f} s for answers under way; again to stop now")
        loop.call_later(GRACE_S, task.cancel)

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        return await task
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        return []
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
