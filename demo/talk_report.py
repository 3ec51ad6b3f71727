"""The table of conversations: fixed arms with their own warm caches, the router, and the bill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from demo.baselines import Utility
from demo.talking import Turn

Talks = Sequence[Sequence[Turn]]
"""Turns of every conversation, in the order in which the conversations began."""
COLUMNS = (
    *("right\nanswers", "talks\nsolved", "m$ per\ntalk", "m$ per\nsolved", "input\ncached"),
    *("switches\nper turn", "turns\nlocked", "p50\nms", "failed", "reward"),
)


def print_talks(
    console: Console, rows: Mapping[str, Talks], utility: Utility, ledgers_usd: Sequence[float]
) -> None:
    """rows: name -> its conversations. ledgers_usd: of each provider, over all rows."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for name, talks in rows.items():
        table.add_row(name, *cells(talks, utility))
    table.add_section()
    for name, talks in rows.items():
        table.add_row(f"{name}, second half", *cells(talks[len(talks) // 2 :], utility))
    console.print(table)
    console.print(bill(rows, sum(ledgers_usd)), soft_wrap=True)


def cells(talks: Talks, utility: Utility) -> list[str]:
    turns = [*chain.from_iterable(talks)]
    right = [turn.right for turn in turns if turn.right is not None]
    solved = sum(all(turn.right in (None, 1.0) for turn in talk) for talk in talks)
    usd = sum(turn.usd for turn in turns)
    read, cached = (
        sum(n) for n in zip(*((t.input_tokens, t.cached_tokens) for t in turns), strict=True)
    )
    after = [a.arm != b.arm for talk in talks for a, b in pairwise(t for t in talk if t.arm)]
    reward = utility.reward(float(np.mean(right)), usd / len(right))
    return [
        f"{np.mean(right):.3f}",
        f"{solved / len(talks):.0%}",
        f"{usd / len(talks) * 1_000:.2f}",
        f"{usd / solved * 1_000:.2f}" if solved else "-",
        f"{cached / max(read, 1):.0%}",
        f"{sum(after) / len(turns):.3f}",
        str(sum(turn.locked for turn in turns)),
        f"{np.median([turn.latency_ms for turn in turns]):.0f}",
        str(sum(not turn.arm for turn in turns)),
        f"[bold]{reward:+.3f}[/bold]",
    ]


def bill(rows: Mapping[str, Talks], ledger_usd: float) -> str:
    turns = [turn for talks in rows.values() for talk in talks for turn in talk]
    usd = sum(turn.usd for turn in turns)
    return (
        f"The bill: receipts of {len(turns)} requests {usd:.6f} USD, the providers' ledgers "
        f"{ledger_usd:.6f} USD, difference {(usd / ledger_usd - 1):+.4%}"
    )
