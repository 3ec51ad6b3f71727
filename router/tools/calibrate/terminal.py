"""The user's terminal: a bar while calls are under way, tables afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.progress import TimeRemainingColumn as Remaining
from rich.table import Table

from router.tools.calibrate.collect.asking import Reply
from router.tools.calibrate.collect.budget import Budget
from router.tools.calibrate.collect.ledger import Answered
from router.tools.calibrate.report import Section


class Bar:
    """Implements `router.tools.calibrate.collect.gathering.Watcher`."""

    def __init__(self, progress: Progress, task: TaskID, purse: Budget) -> None:
        self._progress = progress
        self._task = task
        self._purse = purse
        self._missed = 0

    def replied(self, reply: Reply) -> None:
        self._missed += not isinstance(reply, Answered)
        self._progress.update(self._task, advance=1, money=self._money(), missed=self._missed)

    def _money(self) -> str:
        return money(self._purse)


def money(purse: Budget) -> str:
    return f"${purse.spent_usd:.4f} of ${purse.budget_usd:.2f}"


@contextmanager
def bar(console: Console, total: int, purse: Budget) -> Iterator[Bar]:
    columns = (
        TextColumn("answers"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[money]}"),
        TextColumn("{task.fields[missed]} missing"),
        Remaining(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=total, money=money(purse), missed=0)
        yield Bar(progress, task, purse)


def show(console: Console, sections: Sequence[Section]) -> None:
    for section in sections:
        console.print()
        console.print(section.title, style="bold", markup=False)
        for note in section.notes:
            console.print(note, markup=False, highlight=False)
        if section.rows:
            console.print(_table(section))
        if section.code:
            console.print(section.code.rstrip(), markup=False, highlight=False, soft_wrap=True)


def _table(section: Section) -> Table:
    table = Table(box=None, pad_edge=False)
    for i, column in enumerate(section.columns):
        table.add_column(column, overflow="fold", no_wrap=i == 0)
    for row in section.rows:
        table.add_row(*(_harmless(cell) for cell in row))
    return table


def _harmless(text: str) -> str:
    """A prompt's control characters must not drive the terminal, nor its brackets the table."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable.replace("[", r"\[")
